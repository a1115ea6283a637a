-- +goose Up
-- disable the enforcement of foreign-keys constraints
PRAGMA foreign_keys = off;
-- create "new_task_changes" table
CREATE TABLE `new_task_changes` (`id` integer NOT NULL PRIMARY KEY AUTOINCREMENT, `tenant` text NOT NULL, `run_pk` integer NOT NULL, `revision` integer NOT NULL, `task_id` text NOT NULL, `try` integer NOT NULL, `state` text NOT NULL, `cause` text NOT NULL DEFAULT (''), `exit_code` integer NOT NULL, `message` text NOT NULL, `at` integer NOT NULL);
-- copy rows from old table "task_changes" to new temporary table "new_task_changes"
INSERT INTO `new_task_changes` (`id`, `tenant`, `run_pk`, `revision`, `task_id`, `try`, `state`, `cause`, `exit_code`, `message`, `at`) SELECT `id`, `tenant`, `run_pk`, `revision`, `task_id`, `try`, `state`, `cause`, `exit_code`, `message`, `at` FROM `task_changes`;
-- drop "task_changes" table after copying rows
DROP TABLE `task_changes`;
-- rename temporary table "new_task_changes" to "task_changes"
ALTER TABLE `new_task_changes` RENAME TO `task_changes`;
-- create index "taskchange_run_pk_revision" to table: "task_changes"
CREATE UNIQUE INDEX `taskchange_run_pk_revision` ON `task_changes` (`run_pk`, `revision`);
-- enable back the enforcement of foreign-keys constraints
PRAGMA foreign_keys = on;
