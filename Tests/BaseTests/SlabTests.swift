// Slots are handed out once, come back warm, and tell their owners apart by generation.

import Base
import Testing

@Suite struct SlabTests {
    @Test func aSlotIsHandedOutOnceUntilItComesBack() {
        var slab = Slab<UInt64>(capacity: 2)
        let first = slab.allocate()
        let second = slab.allocate()
        let third = slab.allocate()
        slab.release(second!)
        let fourth = slab.allocate()
        let count = slab.count
        #expect(first != nil && second != nil && first != second)
        #expect(third == nil)
        #expect(fourth == second)
        #expect(count == 2)
    }

    @Test func aNewOwnerHasAnotherGeneration() {
        var slab = Slab<UInt64>(capacity: 1)
        let slot = slab.allocate()!
        let earlier = slab.generation(slot)
        slab.release(slot)
        let isLiveAfterRelease = slab.isLive(slot)
        let second = slab.allocate()
        let later = slab.generation(slot)
        #expect(!isLiveAfterRelease)
        #expect(second == slot)
        #expect(later != earlier)
    }
}
