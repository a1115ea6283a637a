-- +goose Up
-- disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- create index "attempt_run_pk" to table: "attempts"
CREATE INDEX `attempt_run_pk` ON `attempts` (`run_pk`);
-- create "new_audit_events" table
CREATE TABLE `new_audit_events` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `at` integer NOT NULL, `action` text NOT NULL, `instance_id` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `names` json NOT NULL, `actor` text NOT NULL DEFAULT (''));
-- copy rows from old table "audit_events" to new temporary table "new_audit_events"
INSERT INTO `new_audit_events` (`id`, `tenant`, `at`, `action`, `instance_id`, `dag_id`, `run_id`, `task_id`, `try`, `names`) SELECT `id`, `tenant`, `at`, `action`, `instance_id`, `dag_id`, `run_id`, `task_id`, `try`, `names` FROM `audit_events`;
-- drop "audit_events" table after copying rows
DROP TABLE `audit_events`;
-- rename temporary table "new_audit_events" to "audit_events"
ALTER TABLE `new_audit_events` RENAME TO `audit_events`;
-- create index "auditevent_tenant_id" to table: "audit_events"
CREATE INDEX `auditevent_tenant_id` ON `audit_events` (`tenant`, `id`);
-- create index "run_tenant_id" to table: "runs"
CREATE INDEX `run_tenant_id` ON `runs` (`tenant`, `id`);
-- create index "run_tenant_dag_id_id" to table: "runs"
CREATE INDEX `run_tenant_dag_id_id` ON `runs` (`tenant`, `dag_id`, `id`);
-- enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
