// Which route a request gets, pattern by pattern.

import TestSupport
import Testing

@testable import HTTP1
@testable import Routing

private func route(
    host: RouteDefinition.Host = .any, path: RouteDefinition.Path = .any, methods: [String] = [],
    headers: [RouteDefinition.Condition] = [], query: [RouteDefinition.Condition] = []
) -> RouteDefinition {
    var definition = RouteDefinition(action: .pool(0))
    definition.host = host
    definition.path = path
    definition.methods = methods
    definition.headers = headers
    definition.query = query
    return definition
}

private func match(_ routes: [RouteDefinition], _ request: TestRequest) -> Int? {
    let router = Router(routes)
    defer { router.deallocate() }
    return request.withView { router.match($0) }
}

@Test func noRouteMatchesNothing() {
    #expect(match([], TestRequest()) == nil)
}

@Test(arguments: [
    ("example.com", true), ("EXAMPLE.Com", true), ("example.com.", true), ("a.example.com", false),
    ("example.co", false), ("xample.com", false), ("", false), (".", false),
])
func exactHost(host: String, isMatch: Bool) {
    let found = match([route(host: .exact("example.com"))], TestRequest(host: host))
    #expect((found == 0) == isMatch)
}

@Test(arguments: [
    ("a.example.com", true), ("A.B.EXAMPLE.COM", true), ("a.example.com.", true), ("example.com", false),
    (".example.com", false), ("aexample.com", false), ("a.example.com.de", false),
])
func hostBelowADomain(host: String, isMatch: Bool) {
    let found = match([route(host: .below("example.com"))], TestRequest(host: host))
    #expect((found == 0) == isMatch)
}

@Test(arguments: [
    ("/old", true), ("/old/", false), ("/Old", false), ("/ol", false), ("/older", false), ("*", false),
])
func exactPath(path: String, isMatch: Bool) {
    #expect((match([route(path: .exact("/old"))], TestRequest(path: path)) == 0) == isMatch)
}

@Test(arguments: [
    ("/v1", true), ("/v1/", true), ("/v1/a/b", true), ("/v1//", true), ("/v11", false), ("/v", false),
    ("/", false), ("/a/v1/b", false), ("*", false),
])
func pathBelow(path: String, isMatch: Bool) {
    #expect((match([route(path: .below("/v1"))], TestRequest(path: path)) == 0) == isMatch)
}

@Test func emptyPathOfAnAbsoluteTargetIsTheRoot() {
    #expect(match([route(path: .exact("/"))], TestRequest(path: "")) == 0)
}

@Test func firstRouteWinsWhateverItsKind() {
    let routes = [
        route(path: .below("/a/b")), route(host: .exact("x.y"), path: .exact("/a/b/c")),
        route(path: .below("/a")), route(host: .below("y")), route(),
    ]
    #expect(match(routes, TestRequest(host: "x.y", path: "/a/b/c")) == 0)
    #expect(match(Array(routes.dropFirst()), TestRequest(host: "x.y", path: "/a/b/c")) == 0)
    #expect(match(Array(routes.dropFirst(2)), TestRequest(host: "x.y", path: "/a/b/c")) == 0)
    #expect(match(routes, TestRequest(host: "x.y", path: "/c")) == 3)
    #expect(match(routes, TestRequest(host: "z", path: "*")) == 4)
}

@Test func moreSpecificHostDoesNotHideTheOthers() {
    let routes = [
        route(host: .exact("a.b.c"), methods: ["PUT"]), route(host: .below("b.c"), path: .exact("/x")),
        route(host: .below("c"), path: .below("/y")), route(path: .exact("/z")),
    ]
    #expect(match(routes, TestRequest(host: "a.b.c", path: "/x")) == 1)
    #expect(match(routes, TestRequest(host: "a.b.c", path: "/y/1")) == 2)
    #expect(match(routes, TestRequest(host: "a.b.c", path: "/z")) == 3)
    #expect(match(routes, TestRequest(host: "q.c", path: "/x")) == nil)
}

@Test func patternsDeeperThanTheMaskCounts() {
    let deep = String(repeating: "/a", count: 80)
    let host = String(repeating: "a.", count: 90) + "b"
    let routes = [route(path: .below(deep)), route(host: .below(host))]
    #expect(match(routes, TestRequest(path: deep + "/b")) == 0)
    #expect(match(routes, TestRequest(path: deep + "b")) == nil)
    #expect(match(routes, TestRequest(host: "x." + host, path: "/")) == 1)
}

@Test func methodCountsWithItsCase() {
    let routes = [route(methods: ["GET", "PROPPATCH"])]
    #expect(match(routes, TestRequest(method: "GET")) == 0)
    #expect(match(routes, TestRequest(method: "PROPPATCH")) == 0)
    #expect(match(routes, TestRequest(method: "get")) == nil)
    #expect(match(routes, TestRequest(method: "HEAD")) == nil)
}

@Test func headerConditions() {
    let routes = [
        route(headers: [.init(name: "x-a", value: "1"), .init(name: "x-b", value: nil)])
    ]
    #expect(match(routes, TestRequest(fields: [("X-A", "1"), ("X-B", "")])) == 0)
    #expect(match(routes, TestRequest(fields: [("x-a", "2"), ("x-a", "1"), ("x-b", "q")])) == 0)
    #expect(match(routes, TestRequest(fields: [("x-a", "1")])) == nil)
    #expect(match(routes, TestRequest(fields: [("x-a", "11"), ("x-b", "")])) == nil)
    #expect(match(routes, TestRequest(fields: [("x-aa", "1"), ("x-b", "")])) == nil)
}

@Test(arguments: [
    ("a=1&b=", true), ("b&a=1", true), ("b=x&a=2&a=1", true), ("a=1", false), ("a=1&bb", false),
    ("A=1&b", false), ("a=1=&b", false), ("&&a=1&&b&", true), ("", false), ("a&b", false), ("=1&b", false),
])
func queryConditions(query: String, isMatch: Bool) {
    let routes = [route(query: [.init(name: "a", value: "1"), .init(name: "b", value: nil)])]
    #expect((match(routes, TestRequest(query: query)) == 0) == isMatch)
}

// MARK: - Against the plain way

/// What `Router.match` does, one route after the other, on texts.
private func plainMatch(_ routes: [RouteDefinition], _ request: TestRequest) -> Int? {
    var host = request.host.lowercased()
    if host.hasSuffix("."), host.count > 1 { host.removeLast() }
    let path = request.path.isEmpty ? "/" : request.path
    let parameters = request.query.split(separator: "&", omittingEmptySubsequences: false).map { pair in
        let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        return (name: String(parts[0]), value: parts.count == 2 ? String(parts[1]) : "")
    }
    return routes.firstIndex { route in
        let hostHolds =
            switch route.host {
            case .any: true
            case .exact(let name): host == name
            case .below(let name): host.hasSuffix("." + name) && host.count > name.count + 1
            }
        let pathHolds =
            switch route.path {
            case .any: true
            case .exact(let text): path == text
            case .below(let text): path == text || path.hasPrefix(text + "/")
            }
        return hostHolds && pathHolds && (route.methods.isEmpty || route.methods.contains(request.method))
            && route.headers.allSatisfy { wanted in
                request.fields.contains {
                    $0.name.lowercased() == wanted.name && (wanted.value == nil || $0.value == wanted.value)
                }
            }
            && route.query.allSatisfy { wanted in
                parameters.contains {
                    $0.name == wanted.name && (wanted.value == nil || $0.value == wanted.value)
                }
            }
    }
}

/// Few words, so that routes and requests meet often.
private struct RandomRoutes {
    var generator: SeededGenerator

    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }

    mutating func text(_ words: [String], _ separator: String, upTo count: Int) -> String {
        (0...below(count)).map { _ in words[below(words.count)] }.joined(separator: separator)
    }

    mutating func host() -> String { text(["a", "b", "ab"], ".", upTo: 4) }
    mutating func path() -> String { "/" + text(["a", "b", "ab", ""], "/", upTo: 4) }

    mutating func condition() -> RouteDefinition.Condition {
        .init(name: ["x", "y"][below(2)], value: below(2) == 0 ? nil : ["1", "2"][below(2)])
    }

    mutating func route() -> RouteDefinition {
        var definition = RouteDefinition(action: .pool(0))
        definition.host = [.any, .exact(host()), .below(host())][below(3)]
        let prefix = path()
        definition.path = [.any, .exact(prefix), .below(prefix)][below(8) == 0 ? 0 : 1 + below(2)]
        if below(4) == 0 { definition.methods = [["GET"], ["PUT", "GET"], ["PUT"]][below(3)] }
        if below(4) == 0 { definition.headers = (0...below(2)).map { _ in condition() } }
        if below(4) == 0 { definition.query = (0...below(2)).map { _ in condition() } }
        return definition
    }

    mutating func request() -> TestRequest {
        var request = TestRequest(
            method: ["GET", "PUT"][below(2)], host: host() + ["", "", "."][below(3)], path: path())
        if below(3) == 0 { request.host = request.host.uppercased() }
        if below(20) == 0 { request.path = ["*", "", "x"][below(3)] }
        request.query = (0..<below(4)).map { _ in ["x=1", "x=2", "y", "y=2", "x", "="][below(6)] }
            .joined(separator: "&")
        request.fields = (0..<below(4)).map { _ in
            (["x", "X", "y", "z"][below(4)], ["1", "2", ""][below(3)])
        }
        return request
    }
}

@Test(arguments: 1...60)
func compiledRoutesMatchAsThePlainOnes(seed: UInt64) {
    var random = RandomRoutes(generator: SeededGenerator(seed: seed))
    let count = [1, 5, 30, 300][Int(seed % 4)]
    let routes = (0..<count).map { _ in random.route() }
    let router = Router(routes)
    defer { router.deallocate() }
    for _ in 0..<300 {
        let request = random.request()
        let found = request.withView { router.match($0) }
        #expect(found == plainMatch(routes, request), "\(request)")
    }
}

@Test func parsedHeadIsMatched() throws {
    let text =
        "GET http://API.example.com:8080/v1/x?beta HTTP/1.1\r\nHost: api.example.com:8080\r\nX-Canary: 1\r\n\r\n"
    let bytes = Array(text.utf8)
    let lines = UnsafeMutablePointer<Field>.allocate(capacity: 10)
    defer { lines.deallocate() }
    let fields = FieldTable(lines, capacity: 10)
    let router = Router([
        route(host: .exact("example.com")),
        route(
            host: .exact("api.example.com"), path: .below("/v1"), methods: ["GET"],
            headers: [.init(name: "x-canary", value: "1")], query: [.init(name: "beta", value: nil)]),
    ])
    defer { router.deallocate() }
    let found = try bytes.withUnsafeBufferPointer { bytes in
        let head = try RequestHead.parse(
            bytes.baseAddress!, count: bytes.count, length: bytes.count, limits: HeadLimits(), into: fields)
        return router.match(RequestView(head, base: bytes.baseAddress!, fields: fields))
    }
    #expect(found == 1)
}
