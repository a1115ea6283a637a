-- +goose Up
-- disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- create "new_attempts" table
CREATE TABLE `new_attempts` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `run_pk` integer NOT NULL, `instance_id` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `timeout_seconds` integer NOT NULL, `idempotency_key` text NOT NULL DEFAULT (''), `state` text NOT NULL, `cause` text NOT NULL DEFAULT (''), `exit_code` integer NOT NULL DEFAULT (0), `message` text NOT NULL DEFAULT (''), `settled_by_report` bool NOT NULL DEFAULT (false), `queued_at` integer NOT NULL, `started_at` integer NULL, `ended_at` integer NULL, `running_occurred_at` integer NULL, `ended_occurred_at` integer NULL, `heartbeat_at` integer NULL, `cancel_requested_at` integer NULL, `cancel_stop_by` integer NULL, `agent_version` text NOT NULL DEFAULT (''), `hostname` text NOT NULL DEFAULT (''), `fence` integer NOT NULL DEFAULT (0), `task_pk` integer NOT NULL, CONSTRAINT `attempts_task_instances_attempts` FOREIGN KEY (`task_pk`) REFERENCES `task_instances` (`id`) ON DELETE RESTRICT);
-- copy rows from old table "attempts" to new temporary table "new_attempts"
INSERT INTO `new_attempts` (`id`, `tenant`, `run_pk`, `instance_id`, `dag_id`, `run_id`, `task_id`, `try`, `timeout_seconds`, `state`, `cause`, `exit_code`, `message`, `settled_by_report`, `queued_at`, `started_at`, `ended_at`, `running_occurred_at`, `ended_occurred_at`, `heartbeat_at`, `cancel_requested_at`, `cancel_stop_by`, `agent_version`, `hostname`, `fence`, `task_pk`) SELECT `id`, `tenant`, `run_pk`, `instance_id`, `dag_id`, `run_id`, `task_id`, `try`, `timeout_seconds`, `state`, `cause`, `exit_code`, `message`, `settled_by_report`, `queued_at`, `started_at`, `ended_at`, `running_occurred_at`, `ended_occurred_at`, `heartbeat_at`, `cancel_requested_at`, `cancel_stop_by`, `agent_version`, `hostname`, `fence`, `task_pk` FROM `attempts`;
-- drop "attempts" table after copying rows
DROP TABLE `attempts`;
-- rename temporary table "new_attempts" to "attempts"
ALTER TABLE `new_attempts` RENAME TO `attempts`;
-- create index "attempt_tenant_instance_id_try" to table: "attempts"
CREATE UNIQUE INDEX `attempt_tenant_instance_id_try` ON `attempts` (`tenant`, `instance_id`, `try`);
-- create index "attempt_task_pk_try" to table: "attempts"
CREATE UNIQUE INDEX `attempt_task_pk_try` ON `attempts` (`task_pk`, `try`);
-- create index "attempt_run_pk" to table: "attempts"
CREATE INDEX `attempt_run_pk` ON `attempts` (`run_pk`);
-- create "new_runs" table
CREATE TABLE `new_runs` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `dag_version` text NOT NULL, `digest` blob NOT NULL, `idempotency_key` text NOT NULL DEFAULT (''), `revision` integer NOT NULL DEFAULT (0), `created_at` integer NOT NULL);
-- copy rows from old table "runs" to new temporary table "new_runs"
INSERT INTO `new_runs` (`id`, `tenant`, `dag_id`, `run_id`, `dag_version`, `digest`, `revision`, `created_at`) SELECT `id`, `tenant`, `dag_id`, `run_id`, `dag_version`, `digest`, `revision`, `created_at` FROM `runs`;
-- drop "runs" table after copying rows
DROP TABLE `runs`;
-- rename temporary table "new_runs" to "runs"
ALTER TABLE `new_runs` RENAME TO `runs`;
-- create index "run_tenant_dag_id_run_id" to table: "runs"
CREATE UNIQUE INDEX `run_tenant_dag_id_run_id` ON `runs` (`tenant`, `dag_id`, `run_id`);
-- create index "run_tenant_id" to table: "runs"
CREATE INDEX `run_tenant_id` ON `runs` (`tenant`, `id`);
-- create index "run_tenant_dag_id_id" to table: "runs"
CREATE INDEX `run_tenant_dag_id_id` ON `runs` (`tenant`, `dag_id`, `id`);
-- enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
