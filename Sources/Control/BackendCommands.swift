// Carries out what operators ask of single backends, on the control thread: each is another configuration, the file's with
// `RuntimeChanges`, and is answered when every worker goes by it. docs/backends.md says what that means.

import Configuration

/// What is asked of one backend.
enum BackendOrder: Sendable {
    case add(Backend)
    case remove
    case setState(OperatedState)
    case setWeight(Int)

    func change(_ identity: BackendIdentity) -> RuntimeChange {
        switch self {
        case .add(let backend): .add(backend, pool: identity.pool)
        case .remove: .remove(identity)
        case .setState(let state): .setState(identity, state)
        case .setWeight(let weight): .setWeight(identity, weight)
        }
    }
}

/// Since when operators have had backends out of rotation.
struct TakenOut: Sendable {
    private var since: [BackendIdentity: (state: OperatedState, at: Double)] = [:]

    /// Another configuration is in force. `now` is on the monotonic clock, in seconds.
    mutating func follow(_ configuration: Configuration, now: Double) {
        let before = since
        since = [:]
        for pool in configuration.pools {
            for backend in pool.backends where backend.state != .enabled {
                let identity = BackendIdentity(pool: pool.name, name: backend.name)
                let last = before[identity]
                since[identity] = (backend.state, last?.state == backend.state ? last!.at : now)
            }
        }
    }

    /// nil where nobody has taken it out.
    func seconds(_ identity: BackendIdentity, now: Double) -> Int? {
        since[identity].map { Int(max(now - $0.at, 0)) }
    }
}

extension Server {
    /// `pool` may be left out where only one has a backend of that name.
    func change(_ name: String, in pool: String?, _ order: BackendOrder) -> AdminAnswer {
        let identity: BackendIdentity
        var operated = reload.operated
        do throws(RuntimeChangeError) {
            let pool = if let pool { pool } else { try reload.configured.pool(ofBackend: name) }
            identity = BackendIdentity(pool: pool, name: name)
            try operated.make(order.change(identity), over: reload.file)
        } catch {
            return .error(error.kind == .unknown ? 404 : 409, error.message)
        }
        // It is so already.
        if operated == reload.operated { return backendAnswer(identity, changes: []) }
        do throws(Failure) {
            try apply(reload.file, operated, source: .backends)
            return backendAnswer(identity, changes: reload.changes)
        } catch {
            return .refusedConfiguration(error, inForce: generations.current.number)
        }
    }

    private func backendAnswer(_ identity: BackendIdentity, changes: [ConfigurationChange]) -> AdminAnswer {
        .json { writer in
            writer.object { object in
                object.number("number", generations.current.number)
                object.flag("differs_from_file", reload.history.differsFromFile)
                object.array("changes") { array in changes.forEach { $0.write(to: &array) } }
                object.string("pool", identity.pool)
                object.string("name", identity.name)
                guard let backend = reload.configured.backend(identity) else {
                    return object.number("backend", orNull: nil)
                }
                object.object("backend") {
                    $0.string("address", backend.address.description)
                    $0.string("state", backend.state.rawValue)
                    $0.number("weight", backend.weight)
                    $0.number("max_sessions", orNull: backend.maxSessions)
                    $0.flag("backup", backend.isBackup)
                    $0.array("differs") { array in
                        reload.operated.differingKeys(identity).forEach { array.string(nil, $0) }
                    }
                }
            }
        }
    }
}
