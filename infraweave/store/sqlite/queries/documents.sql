-- Workflow documents and their active versions.

-- document: one version of a workflow
SELECT document, digest FROM documents WHERE tenant = ? AND workflow_id = ? AND version = ?;

-- put_document: store a version, or replace its content
INSERT INTO documents (tenant, workflow_id, version, digest, document, created_at)
VALUES (:tenant, :workflow_id, :version, :digest, :document, :now)
ON CONFLICT (tenant, workflow_id, version)
DO UPDATE SET digest = excluded.digest, document = excluded.document, created_at = excluded.created_at;

-- version_is_used: whether a run ever used this version
SELECT EXISTS (SELECT 1 FROM runs WHERE tenant = ? AND workflow_id = ? AND workflow_version = ?);

-- workflow: the active version, and the version that the file declared when it was last loaded
SELECT active_version, loaded_version FROM workflows WHERE tenant = ? AND workflow_id = ?;

-- put_workflow: set both versions
INSERT INTO workflows (tenant, workflow_id, active_version, loaded_version) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, workflow_id)
DO UPDATE SET active_version = excluded.active_version, loaded_version = excluded.loaded_version;

-- workflows: the workflows of a tenant with their versions, oldest first
SELECT workflows.workflow_id, active_version, version
FROM workflows JOIN documents USING (tenant, workflow_id)
WHERE tenant = ?
ORDER BY workflows.workflow_id, documents.rowid;

-- versions: the versions of a workflow, oldest first, with their open runs
SELECT version, created_at, version = active_version AS active,
       (SELECT count(*) FROM runs
        WHERE runs.tenant = documents.tenant AND runs.workflow_id = documents.workflow_id
          AND workflow_version = version AND finished_at IS NULL) AS open_runs
FROM documents JOIN workflows USING (tenant, workflow_id)
WHERE tenant = ? AND documents.workflow_id = ?
ORDER BY documents.rowid;
