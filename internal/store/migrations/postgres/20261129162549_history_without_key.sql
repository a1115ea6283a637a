-- +goose Up
-- modify "task_changes" table
ALTER TABLE "task_changes" DROP CONSTRAINT "task_changes_runs_changes";
