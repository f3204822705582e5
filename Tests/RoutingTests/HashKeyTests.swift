// By what requests stick.

import Testing

@testable import Routing

private let client: (high: UInt64, low: UInt64) = (0, 0x7F00_0001)

private func hash(
    _ key: HashKeySource, _ name: String = "", fallback: HashKeySource = .clientAddress,
    _ fallbackName: String = "", of request: TestRequest,
    client: (high: UInt64, low: UInt64) = client
) -> UInt64 {
    let plan = HashKeyPlan(key: key, name: name, fallback: fallback, fallbackName: fallbackName)
    return request.withView { plan.hash($0, client: client) }
}

/// XXH64 with seed 0, from the vectors of the specification.
private let hashOfNothing: UInt64 = 0xEF46_DB37_51D8_E999
private let hashOfABC: UInt64 = 0x44BC_2CF5_AD77_0999

@Test func hashIsXXH64() {
    #expect(hash(.header, "x", of: TestRequest(fields: [("X", "abc")])) == hashOfABC)
    #expect(hash(.header, "x", of: TestRequest(fields: [("X", "")])) == hashOfNothing)
    #expect(hash(.query, "x", of: TestRequest(query: "a&x=abc&x=2")) == hashOfABC)
    #expect(hash(.query, "x", of: TestRequest(query: "a&x")) == hashOfNothing)
}

@Test(arguments: [
    ("k=abc", true), ("a=1; k=abc; b=2", true), ("a=1;k=abc", true), ("kk=1; k=abc", true),
    ("k=abc; k=2", true), ("K=abc", false), ("k =abc", false), ("k", false), ("a=k=abc", false), ("", false),
    (";;", false),
])
func cookie(header: String, isThere: Bool) {
    let request = TestRequest(fields: [("Cookie", "z=1"), ("cookie", header)])
    let other = hash(.clientAddress, of: request)
    #expect(hash(.cookie, "k", of: request) == (isThere ? hashOfABC : other))
}

@Test func fallbackThenClient() {
    let request = TestRequest(path: "/abc", query: "q=abc")
    #expect(hash(.header, "x", fallback: .query, "q", of: request) == hashOfABC)
    #expect(hash(.header, "x", fallback: .query, "r", of: request) == hash(.clientAddress, of: request))
    #expect(hash(.header, "x", fallback: .path, of: request) == hash(.path, of: request))
}

@Test func clientsDiffer() {
    let request = TestRequest()
    let hashes = Set(
        (0..<1_000).map { hash(.clientAddress, of: request, client: (0, $0)) }
            + (1..<1_000).map { hash(.clientAddress, of: request, client: ($0, 0)) })
    #expect(hashes.count == 1_999)
}

@Test func uriHasTheQueryPathHasNot() {
    let plain = TestRequest(path: "/a")
    let queried = TestRequest(path: "/a", query: "b")
    #expect(hash(.path, of: plain) == hash(.path, of: queried))
    #expect(hash(.uri, of: plain) == hash(.path, of: plain))
    #expect(hash(.uri, of: plain) != hash(.uri, of: queried))
    #expect(hash(.uri, of: queried) != hash(.uri, of: TestRequest(path: "/ab")))
    #expect(hash(.path, of: TestRequest(path: "")) == hash(.path, of: TestRequest(path: "/")))
}
