// What the tests of this folder share: reading a text, its errors as they are printed, files of the tree.

import Configuration
import Foundation
import Testing

/// The folder that holds Package.swift.
let projectFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

func projectFile(_ path: String) throws -> String {
    try String(contentsOf: projectFolder.appendingPathComponent(path), encoding: .utf8)
}

func read(
    _ text: String, environment: [String: String] = [:]
) throws(ConfigurationErrors) -> Configuration {
    try Configuration.read(Array(text.utf8), file: "weir.yaml", environment: { environment[$0] })
}

/// The errors of a text as they are printed, without the last line end; "" when there are none.
func errors(in text: String, environment: [String: String] = [:]) -> String {
    do {
        _ = try read(text, environment: environment)
        return ""
    } catch {
        return String(error.rendered().dropLast())
    }
}

/// Place and message of each error.
func messages(in text: String, environment: [String: String] = [:]) -> [String] {
    do {
        _ = try read(text, environment: environment)
        return []
    } catch {
        return error.errors.map { "\($0.position.line):\($0.position.column) \($0.message)" }
    }
}

/// The errors of a text; none when it is good.
func errorList(in text: String, environment: [String: String] = [:]) -> [ConfigurationError] {
    do {
        _ = try read(text, environment: environment)
        return []
    } catch {
        return error.errors
    }
}

/// A file that is good but for the given lines: `listener` goes into a listener, `pool` into a pool.
func file(top: String = "", listener: String = "", pool: String = "", backends: String = "[10.0.0.1:80]")
    -> String
{
    """
    \(top)
    listeners:
      web:
        bind: 127.0.0.1:80
        pool: site
        \(listener)
    pools:
      site:
        backends: \(backends)
        \(pool)
    """
}

extension Configuration {
    /// The same with every position at the start, to compare configurations that stand elsewhere.
    var withoutPositions: Configuration {
        let start = SourcePosition(line: 1, column: 1)
        var copy = self
        for index in copy.listeners.indices {
            copy.listeners[index].position = start
            for route in copy.listeners[index].routes.indices {
                copy.listeners[index].routes[route].position = start
            }
        }
        for index in copy.pools.indices {
            copy.pools[index].position = start
            for backend in copy.pools[index].backends.indices {
                copy.pools[index].backends[backend].position = start
            }
        }
        return copy
    }
}

/// A file that uses every key.
let fullFile = """
    workers: 4
    engine: epoll
    watch: true
    reload: { rollback_above: 7%, within: 2m, minimum: 50 }
    limits: { sessions: 1000, buffers: 64, buffer_size: 4096, memory: 512MiB }
    admin: { bind: ["unix:/run/weir/admin.sock", "0.0.0.0:9900"], token: 0123456789abcdef }
    alerts: { command: [/usr/bin/page, "two words", --now], webhook: "http://hooks.internal:9000/weir?a=1", error_rate: 10% }
    logs: { access: /var/log/weir.log, events: off, format: text, sample: 12.5% }
    listeners:
      web:
        bind: ["0.0.0.0:8080", "[::]:8080", "unix:/run/w eb.sock"]
        mode: tcp
        pool: site
        timeouts: { connect: 250ms, idle: 90s }
        limits: { sessions: 100, sessions_per_client: 10 }
        rate_limit: { key: client_ip/24, rate: 5/m, burst: 10, keys: 1000 }
        allow: [10.0.0.0/8, "2001:db8::/32"]
        deny: 10.1.2.3
        relay: splice
      cache:
        bind: 127.0.0.1:6379
        pool: redis
    pools:
      site:
        balance: random
        backends:
          - 10.0.0.1:80
          - "[2001:0db8::0001]:80"
          - { name: named, address: app.internal:80, weight: 5, max_sessions: 7 }
          - { address: "unix:/run/a pp.sock", weight: 0 }
      redis: { backends: [localhost:6379], affinity: { client_ip: true, ttl: 1m, clients: 1000 } }
    """

/// A file that uses every key of http listeners.
let fullHTTPFile = """
    limits: { header_size: 8KiB, headers: 50 }
    listeners:
      web:
        bind: 127.0.0.1:8080
        mode: http
        timeouts: { connect: 1s, idle: 2m, request_head: 1s, request_body_idle: 2s, keep_alive: 3s, response_head: 4s, tunnel: 5s }
        rate_limit: { key: client_ip/32/128, rate: 100/s, burst: 200 }
        forwarded: { x_forwarded: replace, trusted: [10.0.0.0/8, 192.168.1.1, "2001:db8::/32"], via: weir, request_id: off, forwarded: append }
        routes:
          - match: { host: api.example.com, path: /v1/*, method: [GET, POST], headers: { X-Canary: "1" }, query: { beta: any } }
            pool: api
          - match: { path: /old }
            redirect: { to: /new, status: 308 }
          - match: { path: /ping }
            respond: { status: 200, body: "pong\\n" }
          - match: { host: "*.shop.example.com" }
            split: { api: 95%, site: 5% }
            request_headers: { set: { x-env: prod }, remove: [x-debug] }
            response_headers: { add: { vary: x-env } }
            rewrite: { strip_prefix: /shop, add_prefix: /store }
            rate_limit: { key: "header:x-user", rate: 1000/h }
          - pool: site
    pools:
      site: { backends: [10.0.0.1:80] }
      api:
        backends: [10.0.0.2:80]
        hash: { key: "header:x-user", fallback: "cookie:sid" }
        affinity: { cookie: __Secure-w, ttl: 1h, secure: true, http_only: false, same_site: none, path: /v1 }
        keep_alive: { idle: 8, idle_timeout: 5s, max_requests: 1000, batch: 8 }
    """
