// A ring with 160 points for each unit of weight (libketama, 2007). A point's place depends on its backend's
// name alone, so a backend that leaves gives up its own keys and no other key moves; one that joins takes
// what is nearest to its points.

import Base

enum Ketama {
    static var pointsPerWeight: Int { 160 }

    static func places(of backends: [BackendShare]) -> KeyPlaces {
        struct Point {
            var place: UInt64
            var owner: Int
        }
        var ring: [Point] = []
        for (index, backend) in backends.enumerated() {
            var random = RandomSource(seed: backend.identity)
            for _ in 0..<Int(backend.weight) * pointsPerWeight {
                ring.append(Point(place: random.next(), owner: index))
            }
        }
        // Two points at one place are decided by name as well, not by position.
        ring.sort { ($0.place, backends[$0.owner].identity) < ($1.place, backends[$1.owner].identity) }
        return KeyPlaces(owners: ring.map { UInt16($0.owner) }, points: ring.map(\.place))
    }
}
