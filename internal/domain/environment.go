package domain

import (
	"strings"
	"unicode"
)

// The variables that configure an agent, as whoever launches one sets them.
const (
	EnvControlPlaneAddr = "LEOFLOW_CONTROL_PLANE_ADDR" // host:port
	EnvAgentToken       = "LEOFLOW_AGENT_TOKEN"
	EnvAgentInsecure    = "LEOFLOW_AGENT_INSECURE" // plaintext, unless "false"
	EnvAgentTLSCA       = "LEOFLOW_AGENT_TLS_CA"   // PEM file
	EnvPython           = "LEOFLOW_PYTHON"         // interpreter of python tasks
)

// The variables of a task's inputs (A-ENV-4).
const (
	EnvXComPrefix = "LEOFLOW_XCOM_"
	// EnvPathSuffix makes of a value's variable the one that names its file.
	EnvPathSuffix = "_PATH"
)

// XComVariable returns the variable that a parameter's value comes in: the parameter
// in upper case with every character outside A–Z, 0–9 and _ as _ (A-ENV-4).
func XComVariable(param string) string {
	return EnvXComPrefix + strings.Map(func(r rune) rune {
		r = unicode.ToUpper(r)
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, param)
}
