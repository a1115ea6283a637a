// Package ent is generated from ent/schema by `go generate ./ent`; only this file
// and the schema are written by hand. internal/store alone imports it.
package ent

//go:generate go tool ent generate --feature privacy,intercept,sql/modifier,sql/upsert,sql/versioned-migration,sql/execquery ./schema
