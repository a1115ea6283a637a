package controlrpc

import (
	"strings"

	controlv1 "github.com/neochaotic/leoflow/gen/leoflow/control/v1"
	"github.com/neochaotic/leoflow/internal/domain"
)

// causeOfProto and protoOfCause are read off the enum: CAUSE_X means "x".
var causeOfProto, protoOfCause = readCauses()

func readCauses() (map[controlv1.Cause]domain.Cause, map[domain.Cause]controlv1.Cause) {
	words := map[controlv1.Cause]domain.Cause{}
	values := map[domain.Cause]controlv1.Cause{}
	for _, cause := range domain.Causes() {
		number, ok := controlv1.Cause_value["CAUSE_"+strings.ToUpper(string(cause))]
		if !ok {
			panic("leoflow.control.v1.Cause has no value for " + string(cause))
		}
		words[controlv1.Cause(number)] = cause
		values[cause] = controlv1.Cause(number)
	}
	return words, values
}
