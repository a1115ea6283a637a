package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	conformancev1 "github.com/neochaotic/leoflow/gen/leoflow/conformance/v1"
)

// request is a line of the suite's, and reply the line that answers it.
type request struct {
	ID      uint64          `json:"id"`
	Method  string          `json:"method"`
	Request json.RawMessage `json:"request"`
}

type reply struct {
	ID       uint64          `json:"id"`
	Response json.RawMessage `json:"response,omitempty"`
	Error    *failure        `json:"error,omitempty"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// serveLines answers calls until there are no more. It serves any FixtureService.
func serveLines(in io.Reader, out io.Writer, fixtures conformancev1.FixtureServiceServer) error {
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var req request
		if err := requests.Decode(&req); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		answer := reply{ID: req.ID}
		response, err := call(fixtures, req)
		if err == nil {
			answer.Response, err = protojson.Marshal(response)
		}
		if err != nil {
			answer.Response, answer.Error = nil, &failure{Code: codeName(err), Message: status.Convert(err).Message()}
		}
		if err := replies.Encode(answer); err != nil {
			return err
		}
	}
}

func call(fixtures conformancev1.FixtureServiceServer, req request) (proto.Message, error) {
	for _, method := range conformancev1.FixtureService_ServiceDesc.Methods {
		if method.MethodName == req.Method {
			response, err := method.Handler(fixtures, context.Background(), func(into any) error {
				return protojson.Unmarshal(req.Request, into.(proto.Message))
			}, nil)
			if err != nil {
				return nil, err
			}
			return response.(proto.Message), nil
		}
	}
	return nil, status.Errorf(codes.Unimplemented, "there is no %s", req.Method)
}

// codeName is the name of an error's code, as a reply gives it.
func codeName(err error) string {
	switch status.Code(err) {
	case codes.Unimplemented:
		return "UNIMPLEMENTED"
	case codes.NotFound:
		return "NOT_FOUND"
	}
	return "INTERNAL"
}
