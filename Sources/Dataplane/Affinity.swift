// Session affinity: whom a session or request had before, by its cookie or its client's address, and what is left
// behind for the next one. The policy is asked only where that backend is not there (Balancing/Policy.swift).

import Balancing
import Base
import Configuration
import HTTP1
import Routing
import Telemetry

/// How the sessions of a pool come back, compiled.
enum AffinityPlan {
    case none
    case cookie(CookieAffinity)
    /// Clients by their address, for all workers.
    case clientAddress(StickyTable)
}

struct CookieAffinity {
    let cookie: AffinityCookie
    /// What stands for the backends in cookies.
    let numbers: StickyIdentities
    /// nil: where the client came by https.
    let isSecure: Bool?
}

/// What was found of a session's past.
enum AffinityFinding: UInt8 {
    /// The pool has no affinity, or not for such sessions.
    case notAsked
    /// No cookie, or a client that is not remembered.
    case missing
    /// A cookie that names no backend of the pool.
    case unknown
    case found
}

/// Whom a session had before.
struct StickyBackend: BitwiseCopyable {
    var finding = AffinityFinding.notAsked
    /// Its index within the pool; meaningful where it was `found`.
    var backend: UInt16 = 0

    /// For `Choice.sticky`.
    @inline(__always)
    var index: Int? { finding == .found ? Int(backend) : nil }

    init(_ finding: AffinityFinding) { self.finding = finding }

    init(backend: Int) {
        finding = .found
        self.backend = UInt16(backend)
    }
}

// MARK: - From the configuration

extension AffinityPlan {
    /// `backends` are those of the pool, backups last; `table` remembers clients by their address.
    init(_ pool: Pool, _ backends: [Backend], _ table: StickyTable?, _ memory: SnapshotMemory) {
        guard let settings = pool.affinity else {
            self = .none
            return
        }
        guard let name = settings.cookie else {
            self = table.map { .clientAddress($0) } ?? .none
            return
        }
        let cookie = AffinityCookie(
            name: name, path: settings.path,
            maxAgeSeconds: settings.timeToLiveNanoseconds.map { $0 / 1_000_000_000 },
            isHTTPOnly: settings.isHTTPOnly, sameSite: settings.sameSite.attribute)
        let numbers = StickyIdentities(
            backends.map { affinityNumber(pool: pool.name, backend: $0.name) })
        memory.atEnd {
            cookie.deallocate()
            numbers.deallocate()
        }
        self = .cookie(CookieAffinity(cookie: cookie, numbers: numbers, isSecure: settings.isSecure))
    }
}

/// What stands for a backend in cookies, in every process and on every machine. No name holds a zero byte, so that
/// no two pairs of names run into one text.
package func affinityNumber(pool: String, backend: String) -> UInt64 {
    stableHash(pool + "\0" + backend)
}

extension SameSite {
    fileprivate var attribute: String {
        switch self {
        case .lax: "Lax"
        case .strict: "Strict"
        case .none: "None"
        }
    }
}

// MARK: - Whom a session had

extension PoolPlan {
    /// Whom a session of this client had, where addresses are remembered.
    func stickyBackend(of client: ClientAddress, now: UInt64) -> StickyBackend {
        guard case .clientAddress(let table) = affinity, let hash = client.stickyHash else {
            return StickyBackend(.notAsked)
        }
        guard let backend = table.backend(of: hash, now: now), backend < candidates.count else {
            return StickyBackend(.missing)
        }
        return StickyBackend(backend: backend)
    }

    /// Whom a request's client had.
    func stickyBackend(of request: RequestView, client: ClientAddress, now: UInt64) -> StickyBackend {
        guard case .cookie(let plan) = affinity else { return stickyBackend(of: client, now: now) }
        var finding = AffinityFinding.missing
        var values = plan.cookie.values(in: request)
        while let value = values.next() {
            if let number = value.number, let backend = plan.numbers.index(of: number) {
                return StickyBackend(backend: backend)
            }
            finding = .unknown
        }
        return StickyBackend(finding)
    }

    /// A cookie that the response to this request sets goes by https only.
    func setsSecureCookie(
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead, _ fields: FieldTable,
        _ forwarded: ForwardedPlan, _ client: ClientAddress
    ) -> Bool {
        guard case .cookie(let plan) = affinity else { return false }
        return plan.isSecure
            ?? forwarded.saysHTTPS(octets, fields, count: Int(head.fieldCount), peer: client)
    }
}

extension ClientAddress {
    /// What stands for the client in a table; nil for those who have no address, and would all be one.
    fileprivate var stickyHash: UInt64? {
        family == .ipv4 || family == .ipv6 ? hashOfAddress((high, low)) : nil
    }
}

extension ForwardedPlan {
    /// True where a trusted peer says that the client came by https: the first word of its last X-Forwarded-Proto.
    func saysHTTPS(
        _ octets: UnsafePointer<UInt8>, _ fields: FieldTable, count: Int, peer: ClientAddress
    ) -> Bool {
        guard trusts(peer) else { return false }
        var isHTTPS = false
        for index in 0..<count where fields[index].name == .xForwardedProto {
            let range = fields[index].valueRange
            isHTTPS = Self.beginsWithHTTPS(octets + range.start, count: Int(range.count))
        }
        return isHTTPS
    }

    private static func beginsWithHTTPS(_ octets: UnsafePointer<UInt8>, count: Int) -> Bool {
        let word: StaticString = "https"
        guard count >= word.utf8CodeUnitCount else { return false }
        for index in 0..<word.utf8CodeUnitCount where octets[index] | 0x20 != word.utf8Start[index] {
            return false
        }
        // Not `httpsx`.
        if count == word.utf8CodeUnitCount { return true }
        let next = octets[word.utf8CodeUnitCount]
        return next == UInt8(ascii: ",") || next == UInt8(ascii: " ") || next == UInt8(ascii: "\t")
    }
}

extension Worker {
    /// Of a session of tcp mode.
    func noteAffinity(_ session: UnsafeMutablePointer<Session>) {
        let pool = session.pointee.pool.pointee.plan
        session.pointee.sticky = pool.pointee.stickyBackend(of: session.pointee.client, now: now)
    }

    /// Of a request.
    func noteAffinity(
        _ session: UnsafeMutablePointer<Session>, _ exchange: UnsafeMutablePointer<Exchange>,
        _ octets: UnsafePointer<UInt8>, _ head: RequestHead
    ) {
        let pool = session.pointee.pool.pointee.plan
        // First of all what most pools come to: the calls below copy the plan.
        if case .none = pool.pointee.affinity {
            session.pointee.sticky = StickyBackend(.notAsked)
            return
        }
        session.pointee.sticky = pool.pointee.stickyBackend(
            of: RequestView(head, base: octets, fields: http.fields), client: session.pointee.client, now: now
        )
        exchange.pointee.setsSecureCookie = pool.pointee.setsSecureCookie(
            octets, head, http.fields, httpPlan(session).pointee.forwarded, session.pointee.client)
    }

    // MARK: What is left behind

    /// The session was given its backend: its client's next one is to come there too.
    func rememberBackend(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.sticky.finding != .notAsked,
            case .clientAddress(let table) = session.pointee.pool.pointee.plan.pointee.affinity,
            let hash = session.pointee.client.stickyHash, !mutant(.clientNotRemembered)
        else { return }
        table.note(hash, backend: Int(session.pointee.backend), now: now)
    }

    /// The session gives its backend up: the client has used it until now.
    func noteLastUse(_ session: UnsafeMutablePointer<Session>) {
        guard session.pointee.sticky.finding != .notAsked,
            case .clientAddress(let table) = session.pointee.pool.pointee.plan.pointee.affinity,
            let hash = session.pointee.client.stickyHash
        else { return }
        table.touch(hash, backend: Int(session.pointee.backend), now: now)
    }

    /// Sets the cookie where the request did not bring that of the backend that answers. A shared cache must not
    /// hand it to others (RFC 9111, section 7.3: Set-Cookie alone does not keep a response out of caches).
    func writeAffinityCookie(
        _ writer: inout HeadWriter, _ session: UnsafeMutablePointer<Session>,
        _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        guard session.pointee.sticky.finding != .notAsked,
            session.pointee.sticky.index != Int(session.pointee.backend),
            session.pointee.sticky.finding == .missing || !mutant(.oldCookieKept),
            case .cookie(let plan) = session.pointee.pool.pointee.plan.pointee.affinity
        else { return }
        plan.cookie.write(
            plan.numbers[Int(session.pointee.backend)], isSecure: exchange.pointee.setsSecureCookie,
            to: &writer)
        writer.append(field: "Cache-Control", "private")
    }

    /// Whether affinity chose, in the words of docs/logs.md.
    func writeAffinity(_ record: inout RecordWriter, _ session: UnsafeMutablePointer<Session>) {
        let by: StaticString
        switch session.pointee.pool.pointee.plan.pointee.affinity {
        case .none: return
        case .cookie: by = "cookie"
        case .clientAddress: by = "client_ip"
        }
        let result: StaticString
        switch (session.pointee.sticky.finding, session.pointee.sequence.pick.sticky) {
        case (.notAsked, _), (.found, .none): return
        case (.missing, _): result = "none"
        case (.unknown, _): result = "unknown"
        case (.found, .taken): result = "hit"
        case (.found, .full): result = "full"
        case (.found, .unwell): result = "unwell"
        case (.found, .failed): result = "failed"
        }
        record.beginObject("affinity")
        record.word("by", by)
        record.word("result", result)
        record.endObject()
    }
}
