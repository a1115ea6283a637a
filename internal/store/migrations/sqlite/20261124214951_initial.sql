-- +goose Up
-- create "attempts" table
CREATE TABLE `attempts` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `run_pk` integer NOT NULL, `instance_id` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `timeout_seconds` integer NOT NULL, `state` text NOT NULL, `cause` text NOT NULL DEFAULT (''), `exit_code` integer NOT NULL DEFAULT (0), `message` text NOT NULL DEFAULT (''), `settled_by_report` bool NOT NULL DEFAULT (false), `queued_at` integer NOT NULL, `started_at` integer NULL, `ended_at` integer NULL, `running_occurred_at` integer NULL, `ended_occurred_at` integer NULL, `heartbeat_at` integer NULL, `cancel_requested_at` integer NULL, `cancel_stop_by` integer NULL, `agent_version` text NOT NULL DEFAULT (''), `hostname` text NOT NULL DEFAULT (''), `fence` integer NOT NULL DEFAULT (0), `task_pk` integer NOT NULL, CONSTRAINT `attempts_task_instances_attempts` FOREIGN KEY (`task_pk`) REFERENCES `task_instances` (`id`) ON DELETE RESTRICT);
-- create index "attempt_tenant_instance_id_try" to table: "attempts"
CREATE UNIQUE INDEX `attempt_tenant_instance_id_try` ON `attempts` (`tenant`, `instance_id`, `try`);
-- create index "attempt_task_pk_try" to table: "attempts"
CREATE UNIQUE INDEX `attempt_task_pk_try` ON `attempts` (`task_pk`, `try`);
-- create "audit_events" table
CREATE TABLE `audit_events` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `at` integer NOT NULL, `action` text NOT NULL, `instance_id` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `names` json NOT NULL);
-- create index "auditevent_tenant_id" to table: "audit_events"
CREATE INDEX `auditevent_tenant_id` ON `audit_events` (`tenant`, `id`);
-- create "connections" table
CREATE TABLE `connections` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `name` text NOT NULL, `sealed` blob NOT NULL, `created_at` integer NOT NULL, `updated_at` integer NOT NULL);
-- create index "connection_tenant_name" to table: "connections"
CREATE UNIQUE INDEX `connection_tenant_name` ON `connections` (`tenant`, `name`);
-- create "runs" table
CREATE TABLE `runs` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `dag_version` text NOT NULL, `digest` blob NOT NULL, `revision` integer NOT NULL DEFAULT (0), `created_at` integer NOT NULL);
-- create index "run_tenant_dag_id_run_id" to table: "runs"
CREATE UNIQUE INDEX `run_tenant_dag_id_run_id` ON `runs` (`tenant`, `dag_id`, `run_id`);
-- create "task_changes" table
CREATE TABLE `task_changes` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `revision` integer NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `state` text NOT NULL, `cause` text NOT NULL DEFAULT (''), `exit_code` integer NOT NULL, `message` text NOT NULL, `at` integer NOT NULL, `run_pk` integer NOT NULL, CONSTRAINT `task_changes_runs_changes` FOREIGN KEY (`run_pk`) REFERENCES `runs` (`id`) ON DELETE RESTRICT);
-- create index "taskchange_run_pk_revision" to table: "task_changes"
CREATE UNIQUE INDEX `taskchange_run_pk_revision` ON `task_changes` (`run_pk`, `revision`);
-- create "task_instances" table
CREATE TABLE `task_instances` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `instance_id` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `position` integer NOT NULL, `state` text NOT NULL, `current_try` integer NOT NULL DEFAULT (0), `spec` blob NOT NULL, `variables` json NULL, `connections` json NULL, `timeout_seconds` integer NOT NULL, `run_pk` integer NOT NULL, CONSTRAINT `task_instances_runs_tasks` FOREIGN KEY (`run_pk`) REFERENCES `runs` (`id`) ON DELETE RESTRICT);
-- create index "taskinstance_tenant_instance_id" to table: "task_instances"
CREATE UNIQUE INDEX `taskinstance_tenant_instance_id` ON `task_instances` (`tenant`, `instance_id`);
-- create index "taskinstance_tenant_dag_id_run_id_task_id" to table: "task_instances"
CREATE UNIQUE INDEX `taskinstance_tenant_dag_id_run_id_task_id` ON `task_instances` (`tenant`, `dag_id`, `run_id`, `task_id`);
-- create index "taskinstance_run_pk" to table: "task_instances"
CREATE INDEX `taskinstance_run_pk` ON `task_instances` (`run_pk`);
-- create "tenants" table
CREATE TABLE `tenants` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `name` text NOT NULL, `secret_scope` text NOT NULL DEFAULT ('tenant'), `created_at` integer NOT NULL);
-- create index "tenants_name_key" to table: "tenants"
CREATE UNIQUE INDEX `tenants_name_key` ON `tenants` (`name`);
-- create "variables" table
CREATE TABLE `variables` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `name` text NOT NULL, `sealed` blob NOT NULL, `created_at` integer NOT NULL, `updated_at` integer NOT NULL);
-- create index "variable_tenant_name" to table: "variables"
CREATE UNIQUE INDEX `variable_tenant_name` ON `variables` (`tenant`, `name`);
-- create "xcom_entries" table
CREATE TABLE `xcom_entries` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `dag_id` text NOT NULL, `run_id` text NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `key` text NOT NULL, `value` blob NOT NULL, `content_type` text NOT NULL, `created_at` integer NOT NULL, `expires_at` integer NOT NULL);
-- create index "xcomentry_tenant_dag_id_run_id_task_id_try_key" to table: "xcom_entries"
CREATE UNIQUE INDEX `xcomentry_tenant_dag_id_run_id_task_id_try_key` ON `xcom_entries` (`tenant`, `dag_id`, `run_id`, `task_id`, `try`, `key`);
-- create index "xcomentry_expires_at" to table: "xcom_entries"
CREATE INDEX `xcomentry_expires_at` ON `xcom_entries` (`expires_at`);
