-- Schedules and webhooks.

-- schedules: all schedules, or those of a tenant, or of one workflow
SELECT * FROM schedules
WHERE (:tenant IS NULL OR tenant = :tenant) AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
ORDER BY tenant, schedule_id;

-- schedule: one schedule
SELECT * FROM schedules WHERE tenant = :tenant AND schedule_id = :schedule_id;

-- put_schedule: write a schedule
INSERT OR REPLACE INTO schedules (tenant, schedule_id, workflow_id, declared_in, spec, paused, next_at,
                                  waiting, running, skipped, last_at, last_run_id, last_error)
VALUES (:tenant, :schedule_id, :workflow_id, :declared_in, :spec, :paused, :next_at,
        :waiting, :running, :skipped, :last_at, :last_run_id, :last_error);

-- delete_schedule: delete a schedule
DELETE FROM schedules WHERE tenant = :tenant AND schedule_id = :schedule_id;

-- webhooks: the webhooks of a tenant, or of one workflow
SELECT * FROM webhooks
WHERE tenant = :tenant AND (:workflow_id IS NULL OR workflow_id = :workflow_id)
ORDER BY name;

-- webhook: one webhook
SELECT * FROM webhooks WHERE tenant = :tenant AND name = :name;

-- put_webhook: write a webhook
INSERT OR REPLACE INTO webhooks (tenant, name, workflow_id, declared_in, spec, secret)
VALUES (:tenant, :name, :workflow_id, :declared_in, :spec, :secret);

-- delete_webhook: delete a webhook
DELETE FROM webhooks WHERE tenant = :tenant AND name = :name;
