// Each kind of wrong value: what is said about it and what is suggested.

import Configuration
import Testing

@Test(
    arguments: [
        ("workers: 0", "1:10 `0` is out of range", nil),
        ("workers: 257", "1:10 `257` is out of range", nil),
        ("workers: -1", "1:10 `-1` is not a whole number", nil),
        ("workers: 1.5", "1:10 `1.5` is not a whole number", nil),
        ("workers: 99999999999999999999999", "1:10 `99999999999999999999999` is out of range", nil),
        ("workers: \"4\"", "1:10 `4` in quotes is text", nil),
        ("workers: Auto", "1:10 unknown word `Auto`", "auto"),
        ("workers: [1]", "1:10 found a list", nil),
        ("workers: {}", "1:10 found a mapping", nil),
        ("workers:", "1:1 `workers` has no value", nil),
        ("workers: ~", "1:1 `workers` has no value", nil),
        ("engine: iouring", "1:9 unknown engine `iouring`", "io_uring"),
        ("engine: IO-URING", "1:9 unknown engine `IO-URING`", "io_uring"),
        ("engine: kqueue", "1:9 unknown engine `kqueue`", nil),
        ("watch: yes", "1:8 `yes` is neither `true` nor `false`", nil),
        ("limits: 5", "1:9 found `5`", nil),
        ("limits: { sessions: 1000001 }", "1:21 `1000001` is out of range", nil),
        ("limits: { buffers: 15 }", "1:20 `15` is out of range", nil),
        ("limits: { buffers: 32769 }", "1:20 `32769` is out of range", nil),
        ("limits: { buffer_size: 1023 }", "1:24 `1023` is out of range", nil),
        ("limits: { buffer_size: 2MiB }", "1:24 `2MiB` is out of range", nil),
        ("limits: { buffer_size: 16kb }", "1:24 `16kb` is not a size", "16KiB"),
        ("limits: { buffer_size: 1M }", "1:24 `1M` is not a size", "1MiB"),
        ("limits: { buffer_size: KiB }", "1:24 `KiB` is not a size", nil),
        (
            "limits: { buffer_size: 99999999999999999999GiB }",
            "1:24 `99999999999999999999GiB` is out of range", nil
        ),
        ("limits: { memory: 512 }", "1:19 `512` is out of range", nil),
        ("limits: { memory: 1gb }", "1:19 `1gb` is not a size", "1GiB"),
        ("reload: { rollback_above: 0% }", "1:27 `0%` is out of range", nil),
        ("reload: { rollback_above: 100% }", "1:27 `100%` is out of range", nil),
        ("reload: { rollback_above: 5%, within: 10ms }", "1:39 `10ms` is out of range", nil),
        ("reload: { rollback_above: 5%, minimum: 0 }", "1:40 `0` is out of range", nil),
        ("reload: { rollback_above: 5%, withn: 1m }", "1:31 unknown key `withn` in `reload`", "within"),
        ("alerts: { error_rate: 5 }", "1:23 `5` is not a percentage", "5%"),
        ("alerts: { error_rate: 0% }", "1:23 `0%` is out of range", nil),
        ("alerts: { command: /bin/page }", "1:20 found `/bin/page`", nil),
        ("alerts: { command: [page] }", "1:20 `page` is no absolute path", nil),
        (
            "alerts: { webhook: https://a/ }", "1:20 `https://a/`: there is no TLS for webhooks", nil
        ),
        ("alerts: { webhook: \"a:80\" }", "1:20 `a:80` is no URL of http", nil),
        ("alerts: { webhook: http://me@a/ }", "1:20 `http://me@a/` has a user in it", nil),
        ("alerts: { webhook: \"http://a:0/\" }", "1:20 the port of `a:0` is not from 1 to 65535", nil),
        ("alerts: { hook: 1 }", "1:11 unknown key `hook` in `alerts`", nil),
        ("logs: { access: stdot }", "1:17 unknown destination `stdot`", "stdout"),
        ("logs: { access: log.txt }", "1:17 unknown destination `log.txt`", nil),
        ("logs: { sample: 50 }", "1:17 `50` has no `%`", "50%"),
        ("logs: { sample: 101% }", "1:17 `101%` is more than the whole", nil),
        ("logs: { sample: 100.1% }", "1:17 `100.1%` is more than the whole", nil),
        ("logs: { sample: 1.% }", "1:17 `1.%` is not a share", nil),
        ("logs: { sample: .5% }", "1:17 `.5%` is not a share", nil),
        ("logs: { sample: 0.00001% }", "1:17 `0.00001%` is not a share", nil),
        (
            "admin: { bind: localhost:1 }", "1:16 `localhost` is a name; a listener binds an address",
            "127.0.0.1:1"
        ),
        (
            "admin: { bind: unix:relative }", "1:16 the path of `unix:relative` is not absolute",
            "unix:/relative"
        ),
        (
            "admin: { bind: 0.0.0.0:9900 }",
            "1:8 `admin` needs a `token`: others than this host get to 0.0.0.0:9900", nil
        ),
        (
            "admin: { bind: [127.0.0.1:1, \"[::]:9900\"] }",
            "1:8 `admin` needs a `token`: others than this host get to [::]:9900", nil
        ),
        ("admin: { token: secret }", "1:17 the token has 6 characters", nil),
        (
            "admin: { token: \"0123456789 abcdef\" }",
            "1:17 the token has a character that does not belong in one", nil
        ),
        ("admin: { tokn: 0123456789abcdef }", "1:10 unknown key `tokn` in `admin`", "token"),
    ] as [(String, String, String?)])
func wrongValueOfTheProcess(line: String, message: String, suggestion: String?) {
    let text = file(top: line)
    #expect(messages(in: text) == [message])
    #expect(errorList(in: text).first?.suggestion == suggestion)
}

@Test(
    arguments: [
        ("timeouts: { idle: 0s }", "`0s` is out of range", nil),
        ("timeouts: { idle: 31d }", "`31d` is out of range", nil),
        ("timeouts: { idle: 5 }", "`5` has no unit", "5s"),
        ("timeouts: { idle: 5sec }", "`5sec` is not a duration", "5s"),
        ("timeouts: { idle: 5H }", "`5H` is not a duration", "5h"),
        ("timeouts: { idle: 1.5s }", "`1.5s` is not a duration", nil),
        ("timeouts: { idle: 5 s }", "`5 s` is not a duration", nil),
        ("timeouts: { idle: -5s }", "`-5s` is not a duration", nil),
        ("timeouts: { idle: 99999999999999999999d }", "`99999999999999999999d` is out of range", nil),
        ("timeouts: { idel: 5s }", "unknown key `idel` in `timeouts`", "idle"),
        ("timeouts: { request_head: 5s }", "`request_head` has no meaning with `mode: tcp`", nil),
        (
            "limits: { session_per_client: 5 }", "unknown key `session_per_client` in `limits` of a listener",
            "sessions_per_client"
        ),
        ("allow: []", "the list is empty", nil),
        ("deny: 10.0.0.1/8", "`10.0.0.1/8` has bits beyond its prefix", "10.0.0.0/8"),
        ("deny: [10.0.0.0/8, somewhere]", "`somewhere` is not a block of addresses", nil),
        (
            "allow: [10.0.0.0/8, \"::1\"]\n    deny: [10.0.0.1, 10.0.0.0/8]",
            "`10.0.0.0/8` is in `allow` and in `deny`", nil
        ),
        ("rate_limit: 5/s", "found `5/s`", nil),
        ("rate_limit: { burst: 5 }", "`rate_limit` needs the key `rate`", nil),
        ("rate_limit: { rate: 5 }", "`5` has no unit", "5/s"),
        ("rate_limit: { rate: 5/min }", "`5/min` is not a rate", "5/m"),
        ("rate_limit: { rate: 5/week }", "`5/week` is not a rate", nil),
        ("rate_limit: { rate: -5/s }", "`-5/s` is not a rate", nil),
        ("rate_limit: { rate: 1.5/s }", "`1.5/s` is not a rate", nil),
        ("rate_limit: { rate: 5/s/s }", "`5/s/s` is not a rate", nil),
        ("rate_limit: { rate: /s }", "`/s` is not a rate", nil),
        ("rate_limit: { rate: 0/s }", "`0/s` is out of range", nil),
        ("rate_limit: { rate: 1000001/s }", "`1000001/s` is out of range", nil),
        ("rate_limit: { rate: 99999999999999999999/s }", "`99999999999999999999/s` is not a rate", nil),
        ("rate_limit: { rate: 1/s, burst: 0 }", "`0` is out of range", nil),
        ("rate_limit: { rate: 1/s, burst: 1000001 }", "`1000001` is out of range", nil),
        (
            "rate_limit: { rate: 1/d, burst: 31 }",
            "a burst of 31 at 1/d takes longer than 30d to come back", nil
        ),
        (
            "rate_limit: { rate: 4/d, burst: 1000000 }",
            "a burst of 1000000 at 4/d takes longer than 30d to come back", nil
        ),
        ("rate_limit: { rate: 1/s, keys: 0 }", "`0` is out of range", nil),
        ("rate_limit: { rate: 1/s, key: client-ip }", "unknown key `client-ip`", "client_ip"),
        ("rate_limit: { rate: 1/s, key: clientip/24 }", "unknown key `clientip/24`", "client_ip/24"),
        (
            "rate_limit: { rate: 1/s, key: client_ip/33 }",
            "the prefix `33` in `client_ip/33` is not from 1 to 32", nil
        ),
        (
            "rate_limit: { rate: 1/s, key: client_ip/24/129 }",
            "the prefix `129` in `client_ip/24/129` is not from 1 to 128", nil
        ),
        (
            "rate_limit: { rate: 1/s, key: client_ip/ }", "the prefix `` in `client_ip/` is not from 1 to 32",
            nil
        ),
        ("rate_limit: { rate: 1/s, key: \"header:\" }", "`` cannot name a header", nil),
        (
            "rate_limit: { rate: 1/s, key: \"header:x-user\" }",
            "`header:x-user` has no meaning with `mode: tcp`", nil
        ),
        ("rate_limit: { rate: 1/s, key: route }", "`route` has no meaning with `mode: tcp`", nil),
        ("mode: htpp", "unknown mode `htpp`", "http"),
        ("relay: slice", "unknown relay `slice`", "splice"),
        ("\"\": 1", "unknown key `` in a listener", nil),
    ] as [(String, String, String?)])
func wrongValueOfAListener(line: String, message: String, suggestion: String?) {
    let found = errorList(in: file(listener: line))
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test(
    arguments: [
        (":8080", "`:8080` has no host", "0.0.0.0:8080"),
        ("*:8080", "`*:8080` has no host", "0.0.0.0:8080"),
        ("8080", "`8080` has no host", "0.0.0.0:8080"),
        ("localhost:80", "`localhost` is a name; a listener binds an address", "127.0.0.1:80"),
        ("example.com:80", "`example.com` is a name; a listener binds an address", nil),
        ("127.0.0.1", "`127.0.0.1` has no port", nil),
        ("127.0.0.1:", "`127.0.0.1:` has no port", nil),
        ("127.0.0.1:http", "`http` in `127.0.0.1:http` is not a port", nil),
        ("127.0.0.1:080", "`080` in `127.0.0.1:080` is not a port", nil),
        ("127.0.0.1:65536", "the port of `127.0.0.1:65536` is not from 0 to 65535", nil),
        (
            "127.0.0.1:99999999999999999999",
            "the port of `127.0.0.1:99999999999999999999` is not from 0 to 65535", nil
        ),
        ("127.0.0.01:80", "`127.0.0.01` in `127.0.0.01:80` is not an IPv4 address", nil),
        ("256.0.0.1:80", "`256.0.0.1` in `256.0.0.1:80` is not an IPv4 address", nil),
        ("[::1]", "`[::1]` has no port", nil),
        ("::1", "`::1` has no port and no brackets", nil),
        ("2001:db8:1:2:3:4:5:6:80", "an IPv6 address needs brackets", "[2001:db8:1:2:3:4:5:6]:80"),
        ("[1::2::3]:80", "`1::2::3` in `[1::2::3]:80` is not an IPv6 address", nil),
        ("[fe80::1%eth0]:80", "`fe80::1%eth0` in `[fe80::1%eth0]:80` is not an IPv6 address", nil),
        ("unix:run/x", "the path of `unix:run/x` is not absolute", "unix:/run/x"),
        ("unix:///run/x", "`unix:///run/x` is a URL, not an address", "unix:/run/x"),
        ("unix:", "`unix:` has no path", nil),
        ("/run/x", "`/run/x` lacks `unix:`", "unix:/run/x"),
        ("tcp://10.0.0.1:80/", "`tcp://10.0.0.1:80/` is a URL, not an address", "10.0.0.1:80"),
    ] as [(String, String, String?)])
func wrongBindAddress(text: String, message: String, suggestion: String?) {
    let found = errorList(in: "listeners: {a: {bind: \"\(text)\", pool: p}}\npools: {p: {backends: [b:1]}}")
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test(
    arguments: [
        ("[0.0.0.0:80]", "`0.0.0.0:80` means all addresses; a backend is one", "127.0.0.1:80"),
        ("[10.0.0.1:0]", "the port of `10.0.0.1:0` is not from 1 to 65535", nil),
        ("[-a:80]", "`-a` in `-a:80` is not a host name", nil),
        ("[a..b:80]", "`a..b` in `a..b:80` is not a host name", nil),
        ("10.0.0.1:80", "found `10.0.0.1:80`", nil),
        ("[[10.0.0.1:80]]", "found a list", nil),
        ("[~]", "found nothing", nil),
        ("[{ address: 10.0.0.1:80, weight: 65536 }]", "`65536` is out of range", nil),
        ("[{ address: 10.0.0.1:80, max_sessions: 0 }]", "`0` is out of range", nil),
        ("[{ name: a }]", "a backend needs the key `address`", nil),
        ("[{ name: \"a b\", address: 10.0.0.1:80 }]", "`a b` cannot name a backend", nil),
        ("[{ adress: 10.0.0.1:80, address: 10.0.0.1:80 }]", "unknown key `adress` in a backend", "address"),
        (
            "[{ address: 10.0.0.1:80, weight: 0 }]",
            "all backends of the pool have weight 0, so none would take a session", nil
        ),
        ("[10.0.0.1:80, 10.0.0.1:80]", "duplicate backend `10.0.0.1:80` in the pool", nil),
        (
            "[{ name: a, address: 10.0.0.1:80 }, { name: a, address: 10.0.0.2:80 }]",
            "duplicate backend `a` in the pool", nil
        ),
        ("[]", "the list is empty", nil),
    ] as [(String, String, String?)])
func wrongBackends(backends: String, message: String, suggestion: String?) {
    let found = errorList(in: file(backends: backends))
    #expect(found.map(\.message) == [message])
    #expect(found.first?.suggestion == suggestion)
}

@Test func unixPathLongerThanTheKernelTakes() {
    let path = "/" + String(repeating: "x", count: 106)
    #expect(messages(in: file(backends: "[\"unix:\(path)\"]")) == [])
    #expect(errors(in: file(backends: "[\"unix:\(path)x\"]")).contains("is longer than 107 bytes"))
}

@Test func tooManyBackendsOfAPool() {
    let list = (0..<65_536).map { "a:\($0 % 9 + 1)" }.joined(separator: ",")
    #expect(messages(in: file(backends: "[\(list)]")) == ["9:15 the list has 65536 elements"])
}
