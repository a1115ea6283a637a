-- +goose Up
-- Rows that change all the time find room for what they become on their own page, so that no index
-- has to be told.
ALTER TABLE "attempts" SET (fillfactor = 70);
