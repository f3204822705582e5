// A world whose configuration is replaced again and again. By one that means the same: some pools are as they were, others
// are new versions with the same backends, and whatever the model knows must hold all the same. Or by one in which
// operators have taken backends out or given them back (OperatorWatch.swift).

import Base
import Configuration
import Dataplane
import SimulatedKernel

final class Reloads {
    private var generations: Generations
    private var random: RandomSource
    private let sockets: [ListeningSocket]
    private let kernel: SimulatedKernel
    private let shared: UnsafePointer<SharedState>
    private let seed: UInt64
    private let resolve: (Backend) -> SocketAddress
    private var operators = Operators()
    /// nil where nobody takes backends out.
    private let watch: OperatorWatch?
    private(set) var count: UInt64 = 0

    /// On average so many turns lie between two.
    private static let turnsBetween: UInt32 = 40

    init(
        _ first: Generation, _ sockets: [ListeningSocket], _ kernel: SimulatedKernel,
        _ shared: UnsafePointer<SharedState>, _ watch: OperatorWatch?, seed: UInt64,
        resolve: @escaping (Backend) -> SocketAddress
    ) {
        generations = Generations(first)
        random = RandomSource(seed: seed ^ 0x5EED_0002_4E10_AD00)
        (self.sockets, self.kernel, self.shared) = (sockets, kernel, shared)
        (self.watch, self.seed, self.resolve) = (watch, seed, resolve)
    }

    /// Between two turns.
    func turnBegins() {
        if generations.hasReplaced { generations.reclaim() }
        if generations.current.isTaken { watch?.noteTaken() }
        defer { watch?.turnBegins() }
        guard generations.current.isTaken || count == 0, shared.pointee.command == .run,
            random.next(below: Self.turnsBetween) == 0
        else { return }
        var configuration = generations.current.configuration
        for index in configuration.pools.indices where random.next(below: 2) == 0 {
            // Something that makes it another pool, and no difference to anybody.
            configuration.pools[index].keepAlive.maxRequests =
                configuration.pools[index].keepAlive.maxRequests == 0 ? 1_000_000 : 0
        }
        if let watch {
            var source = PlanSource(random: random)
            operators.change(&configuration, &source)
            random = source.random
            watch.publishes(configuration)
        }
        let next = Generation(
            configuration, after: generations.current, sockets: [sockets], seed: seed, resolve: resolve)
        generations.replace(with: next)
        next.publish(shared)
        // As if there had been another process, now and then.
        if count % 4 == 3 { shared.pointee.lookAtQueues() }
        kernel.addToEventCounter()
        count += 1
    }

    /// The worker is gone: nothing may be left that it names.
    func checkAtEnd(_ world: World) {
        generations.reclaim()
        if generations.current.isTaken, generations.hasReplaced {
            world.fail("a configuration that was replaced is named by nobody and kept")
        }
    }
}
