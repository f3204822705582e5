// Whether a session or a request may go on: the lists of addresses, then the rate limits, each of which takes a grant.
// In tcp mode a session is asked about at its accept, in http mode each request once its route is known.

import Base
import HTTP1
import Limiting
import Routing

/// A limit that refused, for the answer's headers.
struct RateRefusal {
    let plan: UnsafePointer<RateLimitPlan>
    /// At least 1.
    let retrySeconds: UInt64
}

extension Worker {
    /// Of a session of tcp mode: why it is turned away; nil where it may go on.
    func refusal(_ session: UnsafeMutablePointer<Session>, _ listener: UnsafePointer<ListenerPlan>) -> Reason?
    {
        let client = session.pointee.client
        if !listener.pointee.access.allows(client), !mutant(.deniedIsServed) { return .denied }
        let index = listener.pointee.rateLimit
        guard index != RateLimitPlans.none else { return nil }
        let plan = session.pointee.epoch.pointee.snapshot.rateLimit(index)
        let table = plan.pointee.table
        guard let key = plan.pointee.key(of: client, table.pointee) else { return nil }
        return take(key, of: table).isGranted || mutant(.limitIgnored) ? nil : .rateLimited
    }

    /// Answers a request that may not go on; true where it may.
    mutating func mayGoOn(
        _ slot: UInt32, _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ view: RequestView, _ head: RequestHead
    ) -> Bool {
        let listener = listenerPlan(session)
        let route = exchange.pointee.route
        let ofRoute = httpPlan(session).pointee.rateLimit(ofRoute: route)
        let ofListener = listener.pointee.rateLimit
        let hasLimit = ofListener != RateLimitPlans.none || ofRoute != RateLimitPlans.none
        guard hasLimit || listener.pointee.access.isOn else { return true }
        let client = httpPlan(session).pointee.forwarded.client(of: view, peer: session.pointee.client)
        guard listener.pointee.access.allows(client) || mutant(.deniedIsServed) else {
            consumeHead(session, head)
            answer(slot, session, 403, .denied)
            return false
        }
        guard
            let refusal = rateRefusal(session, ofListener, view, client, route)
                ?? rateRefusal(session, ofRoute, view, client, route)
        else { return true }
        consumeHead(session, head)
        answer(slot, session, 429, .rateLimited, refusal)
        return false
    }

    private func rateRefusal(
        _ session: UnsafeMutablePointer<Session>, _ index: UInt32, _ view: RequestView,
        _ client: ClientAddress, _ route: UInt32
    ) -> RateRefusal? {
        guard index != RateLimitPlans.none else { return nil }
        let plan = session.pointee.epoch.pointee.snapshot.rateLimit(index)
        let table = plan.pointee.table
        guard let key = plan.pointee.key(of: view, client: client, route: route, table.pointee) else {
            return nil
        }
        let verdict = take(key, of: table)
        if verdict.isGranted || mutant(.limitIgnored) { return nil }
        let wait = plan.pointee.limit.nanoseconds(ticks: verdict.ticksToNext)
        // Rounded up, but for the nanosecond that stands in for rounding.
        return RateRefusal(plan: plan, retrySeconds: max((wait &+ 999_999_998) / 1_000_000_000, 1))
    }

    @inline(__always)
    private func take(_ key: UInt64, of table: UnsafePointer<RateTable>) -> Verdict {
        let verdict = table.pointee.take(key, now: now)
        if verdict.hasForgotten { counters.pointee.add(.rateKeysForgotten) }
        return verdict
    }

    /// Retry-After (RFC 9110, 10.2.3), and RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-09):
    /// nothing is left, and the time until something is.
    func writeFields(of refusal: RateRefusal, to writer: inout HeadWriter) {
        writer.append(field: "Retry-After", refusal.retrySeconds)
        let plan = refusal.plan.pointee
        writer.append("RateLimit-Policy: ")
        append(plan.policy, to: &writer)
        writer.append("\r\nRateLimit: ")
        append(plan.policyName, to: &writer)
        writer.append(";r=0;t=")
        writer.append(decimal: refusal.retrySeconds)
        writer.appendLineEnd()
    }

    private func append(_ text: UnsafeRawBufferPointer, to writer: inout HeadWriter) {
        writer.append(text.baseAddress!.assumingMemoryBound(to: UInt8.self), count: text.count)
    }
}

extension ForwardedPlan {
    /// Whom a request comes from: its peer; of a peer that is believed, the last address of X-Forwarded-For that is
    /// not believed itself, or the first where all are. What is no address ends the search at the one behind it.
    func client(of request: RequestView, peer: ClientAddress) -> ClientAddress {
        guard trusts(peer) else { return peer }
        var client = peer
        var index = request.fieldCount
        while index > 0 {
            index -= 1
            let field = request.fields[index]
            guard field.name == .xForwardedFor else { continue }
            var list = field.valueRange
            while let (element, before) = FieldValue.lastElement(in: request.base, list) {
                guard let address = FieldValue.address(in: request.base, element) else { return client }
                client = ClientAddress(address)
                if !trusts(client) { return client }
                list = before
            }
        }
        return client
    }
}
