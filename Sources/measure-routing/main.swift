// Instructions of a match, for a number of routes: run it under `valgrind --tool=callgrind` with a count of
// rounds and with none, and divide the difference by the requests. Built with WEIR_MEASURE=1 only.

import HTTP1
import Routing

/// Hosts, wildcards, paths of both kinds and methods, as a listener of many services has them.
func routes(_ count: Int) -> [RouteDefinition] {
    (0..<count).map { index in
        var route = RouteDefinition(action: .pool(0))
        switch index % 4 {
        case 0: route.host = .exact("service\(index).example.com")
        case 1: route.host = .below("team\(index % 97).example.com")
        default: route.host = .any
        }
        switch index % 3 {
        case 0: route.path = .exact("/static/page\(index).html")
        default: route.path = .below("/api/v1/service\(index)")
        }
        if index % 5 == 0 { route.methods = ["GET", "HEAD"] }
        return route
    }
}

/// Requests that meet a late route by host and path, by path alone, by an exact path, and none.
func requests(_ count: Int) -> [[UInt8]] {
    func last(_ isWanted: (Int) -> Bool) -> Int { (0..<count).last(where: isWanted)! }
    let byHost = last { $0 % 4 == 0 && $0 % 3 != 0 }
    let byPath = last { $0 % 4 > 1 && $0 % 3 != 0 }
    let exact = last { $0 % 4 > 1 && $0 % 3 == 0 }
    return [
        ("service\(byHost).example.com", "/api/v1/service\(byHost)/items/42?page=2"),
        ("www.example.com", "/api/v1/service\(byPath)/items/42?page=2"),
        ("www.example.com", "/static/page\(exact).html"),
        ("www.example.org", "/nothing/there/to/be/found.html"),
    ].map { host, target in
        let lines = [
            "GET \(target) HTTP/1.1", "Host: \(host)", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
            "Accept: text/html,application/xhtml+xml", "Accept-Language: en", "Accept-Encoding: gzip, br",
            "Cookie: session=0123456789abcdef", "Connection: keep-alive",
        ]
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8)
    }
}

let arguments = CommandLine.arguments.dropFirst().compactMap { Int($0) }
guard arguments.count == 3 else { fatalError("usage: measure-routing ROUTES REQUEST ROUNDS") }
let router = Router(routes(arguments[0]))
let text = requests(arguments[0])[arguments[1]]
let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
bytes.initialize(from: text, count: text.count)
let fields = FieldTable(UnsafeMutablePointer<Field>.allocate(capacity: 100), capacity: 100)
let head = try RequestHead.parse(
    bytes, count: text.count, length: text.count, limits: HeadLimits(), into: fields)
let view = RequestView(head, base: bytes, fields: fields)
var found = 0
for _ in 0..<arguments[2] { found &+= router.match(view) ?? -1 }
print("\(arguments[0]) routes: route \(router.match(view) ?? -1) (sum \(found))")
