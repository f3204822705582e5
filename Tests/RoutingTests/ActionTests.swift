// What a matched route does: split, rewrite, header edits, fixed responses.

import TestSupport
import Testing

@testable import Routing

private func withRouter<Result>(
    _ definition: RouteDefinition, _ body: (Router, UnsafePointer<RoutePlan>) -> Result
) -> Result {
    let router = Router([definition])
    defer { router.deallocate() }
    return body(router, router.plan(0))
}

private func split(_ shares: [Int]) -> RouteDefinition {
    let parts = shares.enumerated().map { RouteDefinition.Share(pool: UInt16($0), millionths: $1) }
    return RouteDefinition(action: .split(parts, stickyPool: 1))
}

@Test func splitKeepsItsSharesOverNumbersInARow() {
    withRouter(split([950_000, 50_000])) { router, plan in
        #expect(plan.pointee.action == .split)
        #expect(plan.pointee.stickyPool == 1)
        var counts = [0, 0]
        for number in 0..<100_000 as Range<UInt64> {
            counts[Int(router.pool(ofSplit: plan, number: number))] += 1
        }
        // Standard deviation 69.
        #expect(abs(counts[1] - 5_000) < 350)
    }
}

@Test func splitNeverPicksAnEmptyShare() {
    for shares in [[0, 1_000_000, 0], [1_000_000], [0, 0, 1_000_000]] {
        withRouter(split(shares)) { router, plan in
            var generator = SeededGenerator(seed: 4)
            for _ in 0..<1_000 {
                let number = UInt64.random(in: 0...UInt64.max, using: &generator)
                #expect(shares[Int(router.pool(ofSplit: plan, number: number))] == 1_000_000)
            }
        }
    }
}

@Test func sameNumberSamePool() {
    withRouter(split([500_000, 500_000])) { router, plan in
        for number in [0, 1, UInt64.max, 1 << 63] {
            #expect(router.pool(ofSplit: plan, number: number) == router.pool(ofSplit: plan, number: number))
        }
    }
}

@Test(arguments: [
    ("/shop", "/store", "/shop", "/store"),
    ("/shop", "/store", "/shop/", "/store/"),
    ("/shop", "/store", "/shop/x", "/store/x"),
    ("/shop", "/store", "/shopping", "/store/shopping"),
    ("/shop", "/store", "/", "/store/"),
    ("/shop", "", "/shop", "/"),
    ("/shop", "", "/shop/", "/"),
    ("/shop", "", "/shop/shop", "/shop"),
    ("/shop", "", "/x", "/x"),
    ("", "/store", "/x", "/store/x"),
    ("", "/store", "", "/store/"),
    ("", "", "/x", "/x"),
    ("", "", "", "/"),
    ("/shop", "/store", "*", "*"),
])
func rewrittenPath(strip: String, add: String, path: String, wanted: String) {
    var definition = RouteDefinition(action: .pool(0))
    definition.stripPrefix = strip
    definition.addPrefix = add
    withRouter(definition) { router, plan in
        #expect(plan.pointee.rewritesPath == !(strip.isEmpty && add.isEmpty))
        TestRequest(path: path).withView { view in
            let rewritten = router.rewrite(view, by: plan)
            #expect(rewritten.prefix.text + rewritten.rest.text == wanted)
        }
    }
}

@Test func headerEdits() {
    var definition = RouteDefinition(action: .pool(0))
    definition.requestHeaders = .init(
        set: [.init(name: "X-Env", value: "prod")], added: [.init(name: "x-more", value: "")],
        removed: ["X-Debug"])
    withRouter(definition) { router, plan in
        let edits = plan.pointee.requestEdits
        #expect(plan.pointee.responseEdits.isEmpty)
        #expect(!edits.isEmpty)
        let written = router.writtenFields(edits).map { field in
            router.bytes(field.name).text + ": " + router.bytes(field.value).text
        }
        #expect(written == ["X-Env: prod", "x-more: "])
        for (name, isDropped) in [
            ("x-env", true), ("X-DEBUG", true), ("x-more", false), ("x-debug2", false), ("x", false),
        ] {
            var name = name
            name.withUTF8 { #expect(router.drops(ByteView($0.baseAddress!, $0.count), edits) == isDropped) }
        }
    }
}

@Test func redirectKeepsTheQueryUnlessItHasOne() {
    withRouter(.init(action: .redirect(location: "/new", status: 308))) { router, plan in
        #expect(plan.pointee.action == .redirect)
        #expect(plan.pointee.status == 308)
        #expect(plan.pointee.keepsQuery)
        #expect(router.bytes(plan.pointee.location).text == "/new")
    }
    withRouter(.init(action: .redirect(location: "/new?a", status: 301))) { _, plan in
        #expect(!plan.pointee.keepsQuery)
    }
}

@Test func fixedResponse() {
    let action = RouteDefinition.Action.respond(status: 200, body: "pong\n", contentType: "text/plain")
    withRouter(.init(action: action)) { router, plan in
        #expect(plan.pointee.action == .respond)
        #expect(router.bytes(plan.pointee.body).text == "pong\n")
        #expect(router.bytes(plan.pointee.contentType).text == "text/plain")
    }
}
