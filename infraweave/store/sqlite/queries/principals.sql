-- Tenants, principals, grants and tokens.

-- fragment granted_tokens: tokens with the current grants of their principals
SELECT tokens.*, (SELECT json_group_array(action || ':' || resource) FROM grants
                  WHERE grants.tenant = tokens.tenant AND grants.principal = tokens.principal) AS grants
FROM tokens;

-- add_tenant: create a tenant unless it exists
INSERT OR IGNORE INTO tenants (tenant, created_at) VALUES (?, ?);

-- add_principal: create a principal unless it exists
INSERT OR IGNORE INTO principals (tenant, principal, created_at) VALUES (?, ?, ?);

-- add_grant: add a grant to a principal
INSERT OR IGNORE INTO grants (tenant, principal, action, resource) VALUES (?, ?, ?, ?);

-- add_token: store the hash of a token
INSERT INTO tokens (token_id, tenant, principal, hash, created_at, expires_at)
VALUES (:token_id, :tenant, :principal, :hash, :now, :expires_at);

-- tenants: all tenants
SELECT tenant FROM tenants ORDER BY tenant;

-- token_by_hash: a token with the current grants of its principal
{{granted_tokens}} WHERE hash = ?;

-- token_by_id: the same by token id, of one tenant or of any
{{granted_tokens}} WHERE token_id = :token_id AND (:tenant IS NULL OR tenant = :tenant);

-- tokens: the tokens of one tenant, or of all
{{granted_tokens}} WHERE :tenant IS NULL OR tenant = :tenant ORDER BY created_at, token_id;

-- revoke_token: revoke a token; the first revocation time stays
UPDATE tokens SET revoked_at = coalesce(revoked_at, :now)
WHERE token_id = :token_id AND (:tenant IS NULL OR tenant = :tenant);

-- use_tokens: set when tokens were last used
UPDATE tokens SET last_used_at = new.at
FROM (SELECT json_extract(value, '$[0]') AS token_id, json_extract(value, '$[1]') AS at
      FROM json_each(:rows)) AS new
WHERE tokens.token_id = new.token_id;

-- list_tenants: all tenants with the number of their principals
SELECT tenant, created_at,
       (SELECT count(*) FROM principals WHERE principals.tenant = tenants.tenant) AS principals
FROM tenants ORDER BY tenant;

-- tenant: one tenant
SELECT tenant FROM tenants WHERE tenant = :tenant;

-- list_principals: the principals of one tenant, or of all, with their grants
SELECT tenant, principal, created_at,
       (SELECT json_group_array(action || ':' || resource) FROM grants
        WHERE grants.tenant = principals.tenant AND grants.principal = principals.principal) AS grants
FROM principals
WHERE (:tenant IS NULL OR tenant = :tenant) AND (:principal IS NULL OR principal = :principal)
ORDER BY tenant, principal;

-- has_grants: whether a principal has any grant
SELECT EXISTS (SELECT 1 FROM grants WHERE tenant = ? AND principal = ?);

-- delete_grants: delete all grants of a principal
DELETE FROM grants WHERE tenant = :tenant AND principal = :principal;

-- delete_tokens: delete the tokens of a principal
DELETE FROM tokens WHERE tenant = :tenant AND principal = :principal;

-- delete_principal: delete a principal
DELETE FROM principals WHERE tenant = :tenant AND principal = :principal;

-- delete_grant: delete one grant of a principal
DELETE FROM grants
WHERE tenant = :tenant AND principal = :principal AND action = :action AND resource = :resource;
