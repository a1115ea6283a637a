-- +goose Up
-- create index "attempt_id" to table: "attempts"
CREATE INDEX `attempt_id` ON `attempts` (`id`) WHERE ended_at IS NULL;
