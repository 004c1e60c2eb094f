package relay

// Turns the text that names servers into gRPC targets, and says what is wrong with it.

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const defaultPort = "50051"

// parseTargets splits "host:port", a comma-separated list, "dns:///name:port" or "unix:path" into targets, in the order written.
func parseTargets(text string) ([]string, error) {
	var targets []string
	for part := range strings.SplitSeq(text, ",") {
		target, err := parseTarget(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

func parseTarget(text string) (string, error) {
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		if strings.Trim(path, "/") == "" {
			return "", invalid("target", strconv.Quote(text)+` names no socket; write "unix:/run/relay.sock"`)
		}
		return text, nil
	}
	address := strings.TrimPrefix(text, "dns:///")
	if address == "" || strings.ContainsAny(address, "/ \t\r\n") {
		return "", invalid("target", strconv.Quote(text)+` is not one; write "host:port", "h1:p1,h2:p2", "dns:///name:port" or "unix:path"`)
	}
	host, port, err := splitPort(address)
	if err != nil {
		return "", err
	}
	if host == "" {
		return "", invalid("target", strconv.Quote(text)+` has no host; write "localhost:`+port+`"`)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return "", invalid("target", strconv.Quote(text)+" has port "+strconv.Quote(port)+"; a port is a number from 1 to 65535")
	}
	// With the scheme, because the default one belongs to the process and others may change it.
	return "dns:///" + host + ":" + port, nil
}

// splitPort keeps the brackets of an IPv6 address.
func splitPort(address string) (host, port string, err error) {
	if strings.HasPrefix(address, "[") {
		inside, rest, _ := strings.Cut(address, "]")
		port := strings.TrimPrefix(rest, ":")
		if rest == "" {
			port = defaultPort
		}
		return inside + "]", port, nil
	}
	if strings.Count(address, ":") > 1 {
		return "", "", invalid("target", `write the IPv6 address `+strconv.Quote(address)+` in brackets: "[`+address+`]:`+defaultPort+`"`)
	}
	host, port, found := strings.Cut(address, ":")
	if !found {
		port = defaultPort
	}
	return host, port, nil
}

// isLocal says whether a parsed target is on this machine.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	host, _, _ := splitPort(strings.TrimPrefix(target, "dns:///"))
	host = strings.Trim(host, "[]")
	if address, err := netip.ParseAddr(host); err == nil {
		return address.IsLoopback()
	}
	return host == "localhost"
}
