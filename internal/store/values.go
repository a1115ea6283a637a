package store

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgtype"
)

// each reads each row of a result of SQLite's.
func each(rows driver.Rows, c call, n int) error {
	values := make([]driver.Value, len(c.into))
	for {
		err := rows.Next(values)
		if errors.Is(err, io.EOF) {
			return nil
		}
		for i := 0; i < len(values) && err == nil; i++ {
			err = assign(c.into[i], values[i])
		}
		if err != nil {
			return err
		}
		c.got(n)
	}
}

// assign puts a value of SQLite's into a variable.
func assign(into any, value driver.Value) error {
	switch v := value.(type) {
	case int64:
		switch into := into.(type) {
		case *int64:
			*into = v
			return nil
		case *bool:
			*into = v != 0
			return nil
		}
	case string:
		if into, ok := into.(*string); ok {
			*into = v
			return nil
		}
	case []byte:
		if into, ok := into.(*[]byte); ok {
			*into = v
			return nil
		}
	}
	return fmt.Errorf("a %T is no %T", value, into)
}

// decode puts a value of PostgreSQL's, in its binary form, into a variable.
func decode(into any, value []byte) error {
	switch into := into.(type) {
	case *int64:
		switch len(value) {
		case 8:
			*into = int64(binary.BigEndian.Uint64(value)) //nolint:gosec // as it was encoded
			return nil
		case 4:
			*into = int64(int32(binary.BigEndian.Uint32(value))) //nolint:gosec // as it was encoded
			return nil
		}
	case *bool:
		if len(value) == 1 {
			*into = value[0] != 0
			return nil
		}
	case *string:
		if value != nil {
			*into = string(value)
			return nil
		}
	case *[]byte:
		if value != nil {
			*into = bytes.Clone(value)
			return nil
		}
	}
	return fmt.Errorf("%d bytes are no %T", len(value), into)
}

// arrayOf has a column of rows as PostgreSQL takes an array in its binary form.
func arrayOf(c column, rows [][]any, i int) ([]byte, error) {
	oid, bytesOf := uint32(pgtype.TextOID), 0
	switch c.array {
	case intArray:
		oid = pgtype.Int8OID
	case bytesArray:
		oid = pgtype.ByteaOID
	}
	for _, row := range rows {
		switch v := row[i].(type) {
		case string:
			bytesOf += len(v)
		case []byte:
			bytesOf += len(v)
		case int64:
			bytesOf += 8
		}
	}
	const head = 20
	out := make([]byte, 0, head+bytesOf+4*len(rows))
	for _, n := range []uint32{1, 1, oid, uint32(len(rows)), 1} { //nolint:gosec // one dimension, with nulls, from 1
		out = binary.BigEndian.AppendUint32(out, n)
	}
	for _, row := range rows {
		var err error
		if out, err = appendValue(out, c, row[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// appendValue appends an element of an array: its length, and what it is.
func appendValue(out []byte, c column, value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return binary.BigEndian.AppendUint32(out, 0xffffffff), nil
	case string:
		if c.array == textArray {
			return append(binary.BigEndian.AppendUint32(out, uint32(len(v))), v...), nil //nolint:gosec // as long as a message may be
		}
	case []byte:
		if c.array == bytesArray {
			return append(binary.BigEndian.AppendUint32(out, uint32(len(v))), v...), nil //nolint:gosec // as long as a message may be
		}
	case int64:
		if c.array == intArray {
			return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(out, 8), uint64(v)), nil //nolint:gosec // the same bits
		}
	}
	return nil, fmt.Errorf("column %s: a %T is in no %s", c.name, value, c.array)
}
