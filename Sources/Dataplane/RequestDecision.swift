// What a listener of http mode would do with a request, found out by the code that serves: the scan and the
// parse of the head, the match, the split, the rewrite, the pool's policy. Nothing is sent and nothing counted;
// `weir explain` prints it.

import Balancing
import Base
import Glibc
import HTTP1
import Routing

/// What would become of a request.
public struct RequestDecision: Sendable {
    public enum Outcome: Sendable, Equatable {
        /// The head breaks a rule, or announces too long a body: the answer's status, and the cause (of the body:
        /// the reason) as the log has it.
        case refused(status: Int, cause: String)
        /// The client is not among those that are served: 403.
        case denied
        /// No route matches, and there is no pool for such requests: 404.
        case notFound
        /// The Location of the answer.
        case redirect(location: String)
        /// The route's own answer.
        case respond
        /// Index of the pool.
        case pool(Int)
    }

    /// How a split decides.
    public enum SplitBy: Sendable {
        /// Drawn anew for each request.
        case chance
        /// By the hash key of this pool.
        case key(pool: Int, HashKeyOrigin)
    }

    /// Whom the client had before, as far as the request says it: the table of clients is empty here.
    public struct Affinity: Sendable {
        public enum Finding: Sendable, Equatable {
            case missing
            /// A cookie that names no backend of the pool.
            case unknown
            /// Index into `Pool.backendsBackupsLast`.
            case backend(Int)
        }

        public var finding: Finding
        /// A cookie that the response sets goes by https only.
        public var setsSecureCookie: Bool
    }

    public var outcome: Outcome
    // Not known of a request that is refused.
    /// The host that was matched, without port.
    public var host = ""
    /// As it came, without the query.
    public var path = ""
    /// Index of the route; nil where none matches.
    public var route: Int?
    public var splitBy: SplitBy?
    /// The hash that the pool's policy chooses by; 0 where it chooses by none.
    public var key: UInt64 = 0
    /// What was hashed; nil where nothing was.
    public var keyOrigin: HashKeyOrigin?
    /// nil where the pool has no affinity.
    public var affinity: Affinity?
    /// What the backend is asked for, with the query.
    public var backendTarget = ""
    /// Names of fields that end here, because they are for this connection only.
    public var fieldsLeftOut: [String] = []
    /// The client's forwarding headers are believed.
    public var trustsClient = false
    /// The address that lists and limits know the client by; nil where that is the one it connects from.
    public var forwardedClient: String?
}

extension Snapshot {
    /// Decides about a head, which ends in an empty line. `listener` is one of http mode; `draw` stands in for
    /// the chance that a split without a key leaves room for.
    public func decide(
        head octets: [UInt8], listener: Int, client: SocketAddress, draw: UInt64
    ) -> RequestDecision {
        guard let plan = self.listener(listener).pointee.http else {
            preconditionFailure("routes belong to listeners of http mode")
        }
        let memory = UnsafeMutablePointer<Field>.allocate(capacity: headerLimit)
        defer { memory.deallocate() }
        let fields = FieldTable(memory, capacity: headerLimit)
        let client = withUnsafePointer(to: client.storage) { ClientAddress($0) }
        return octets.withUnsafeBufferPointer { octets in
            do throws(Refusal) {
                let head = try parse(octets, into: fields)
                if case .length(let count) = head.framing, count > plan.pointee.bodyLimitBytes {
                    return RequestDecision(
                        outcome: .refused(status: 413, cause: "\(Reason.bodyTooLarge.name)"))
                }
                var decision = decide(
                    head, octets.baseAddress!, fields, plan, self.listener(listener).pointee.access, client,
                    draw: draw)
                if case .pool(let index) = decision.outcome {
                    let view = RequestView(head, base: octets.baseAddress!, fields: fields)
                    let key = pool(index).pointee.key(view, client: client)
                    (decision.key, decision.keyOrigin) = (key?.hash ?? 0, key?.origin)
                    decision.affinity = pool(index).pointee.affinity(of: view, client: client)
                    decision.affinity?.setsSecureCookie = pool(index).pointee.setsSecureCookie(
                        octets.baseAddress!, head, fields, plan.pointee.forwarded, client)
                }
                return decision
            } catch {
                return RequestDecision(
                    outcome: .refused(status: Int(error.status), cause: "\(error.reason)"))
            }
        }
    }

    private func parse(
        _ octets: UnsafeBufferPointer<UInt8>, into fields: FieldTable
    ) throws(Refusal) -> RequestHead {
        let limits = HeadLimits(headBytes: UInt32(headerSizeBytes), fields: UInt16(headerLimit))
        guard let start = octets.baseAddress else { throw .badRequestLine }
        var scan = HeadScan()
        switch scan.advance(start, count: octets.count, limits: limits) {
        case .refused(let refusal): throw refusal
        case .incomplete: throw .badRequestLine
        case .complete(let length):
            return try RequestHead.parse(
                start, count: octets.count, length: length, limits: limits, into: fields)
        }
    }

    private func decide(
        _ head: RequestHead, _ octets: UnsafePointer<UInt8>, _ fields: FieldTable,
        _ plan: UnsafePointer<HTTPPlan>, _ access: AccessPlan, _ client: ClientAddress, draw: UInt64
    ) -> RequestDecision {
        func text(_ range: HeadRange) -> String {
            String(
                decoding: UnsafeBufferPointer(start: octets + range.start, count: Int(range.count)),
                as: UTF8.self)
        }
        let router = plan.pointee.router
        let view = RequestView(head, base: octets, fields: fields)
        let query = head.target.query.map { "?" + text($0) } ?? ""
        var decision = RequestDecision(outcome: .notFound)
        decision.host = text(head.authority.host)
        decision.path = text(head.target.path)
        decision.backendTarget = text(head.target.range)
        decision.trustsClient = plan.pointee.forwarded.trusts(client)
        let forwarded = plan.pointee.forwarded.client(of: view, peer: client)
        if decision.trustsClient, forwarded != client { decision.forwardedClient = forwarded.text }
        for index in 0..<Int(head.fieldCount) where fields[index].isDropped {
            decision.fieldsLeftOut.append(text(fields[index].nameRange))
        }
        let match = router.match(view)
        decision.route = match
        if !access.allows(forwarded) {
            decision.outcome = .denied
            return decision
        }
        guard let index = match else {
            if let pool = plan.pointee.defaultPool { decision.outcome = .pool(Int(pool)) }
            return decision
        }
        let route = router.plan(index)
        switch route.pointee.action {
        case .pool: decision.outcome = .pool(Int(route.pointee.pool))
        case .split:
            var number = draw
            decision.splitBy = .chance
            if let sticky = route.pointee.stickyPool, let hash = pool(Int(sticky)).pointee.hash {
                let found = hash.find(view, client: (client.high, client.low))
                number = found.hash
                decision.splitBy = .key(pool: Int(sticky), found.origin)
            }
            decision.outcome = .pool(Int(router.pool(ofSplit: route, number: number)))
        case .redirect:
            let location = Self.text(router.bytes(route.pointee.location))
            decision.outcome = .redirect(location: location + (route.pointee.keepsQuery ? query : ""))
        case .respond: decision.outcome = .respond
        }
        if route.pointee.rewritesPath {
            let path = router.rewrite(view, by: route)
            decision.backendTarget = Self.text(path.prefix) + Self.text(path.rest) + query
        }
        return decision
    }

    private static func text(_ bytes: ByteView) -> String {
        String(decoding: UnsafeBufferPointer(start: bytes.start, count: bytes.count), as: UTF8.self)
    }

    /// The backends of a pool in the order in which a policy that has just begun would try them for one
    /// session or request: indices into `Pool.backendsBackupsLast`, each at most once, and none that takes
    /// nothing. `key` is `RequestDecision.key`, `sticky` whom its affinity names.
    public func candidates(ofPool index: Int, key: UInt64, sticky: Int?, seed: UInt64) -> [Int] {
        let plan = pool(index)
        var policy = PolicyState(plan.pointee.balance, seed: seed)
        var sequence = CandidateSequence()
        var order: [Int] = []
        while let next = policy.take(&sequence, Choice(key: key, sticky: sticky)) {
            plan.pointee.candidates.release(next)
            order.append(next)
        }
        return order
    }

    /// The cookie, as a response has it, that leads back to a backend; nil where the pool sets none.
    public func setCookie(ofPool index: Int, backend: Int, isSecure: Bool) -> String? {
        guard case .cookie(let plan) = pool(index).pointee.affinity else { return nil }
        let capacity = 1024
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: capacity) { memory in
            var writer = HeadWriter(memory.baseAddress!, capacity: capacity)
            plan.cookie.write(plan.numbers[backend], isSecure: isSecure, to: &writer)
            // Without its line end.
            return String(decoding: memory[..<max(writer.count - 2, 0)], as: UTF8.self)
        }
    }
}

extension PoolPlan {
    fileprivate func affinity(
        of view: RequestView, client: ClientAddress
    ) -> RequestDecision.Affinity? {
        let sticky = stickyBackend(of: view, client: client, now: 0)
        let finding: RequestDecision.Affinity.Finding
        switch sticky.finding {
        case .notAsked: return nil
        case .missing: finding = .missing
        case .unknown: finding = .unknown
        case .found: finding = .backend(Int(sticky.backend))
        }
        return RequestDecision.Affinity(finding: finding, setsSecureCookie: false)
    }
}
