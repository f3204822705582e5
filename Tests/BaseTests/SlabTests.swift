// The slab's promises: slots are lent once, generations tell owners apart, memory is used again.

import Base
import Testing

@Suite struct SlabTests {
    @Test func everySlotIsLentOnceAndThenThereIsNone() {
        var slab = Slab<UInt64>(capacity: 5)
        var slots: [UInt32] = []
        while let slot = slab.allocate() { slots.append(slot) }
        #expect(slots == [0, 1, 2, 3, 4])
        var count = slab.count
        #expect(count == 5)
        slab.release(3)
        var slot = slab.allocate()
        #expect(slot == 3)
        slot = slab.allocate()
        count = slab.count
        #expect(slot == nil && count == 5)
    }

    @Test func theSlotFreedLastIsLentFirst() {
        var slab = Slab<UInt64>(capacity: 10)
        let slots = (0..<4).map { _ in slab.allocate()! }
        slab.release(slots[1])
        slab.release(slots[2])
        let again = [slab.allocate(), slab.allocate()]
        #expect(again == [slots[2], slots[1]])
        let highWater = slab.highWater
        #expect(highWater == 4)
    }

    @Test func aGenerationIsOddExactlyWhileTheSlotIsInUse() {
        var slab = Slab<UInt64>(capacity: 2)
        let unknown = [slab.isLive(0), slab.isLive(2), slab.isLive(.max)]
        #expect(unknown == [false, false, false])
        var seen: Set<UInt32> = []
        for _ in 0..<100 {
            let slot = slab.allocate()!
            let (isLive, generation) = (slab.isLive(slot), slab.generation(slot))
            #expect(slot == 0 && isLive && generation & 1 == 1)
            #expect(seen.insert(generation).inserted)
            slab.release(slot)
            let (isLiveAfter, after) = (slab.isLive(slot), slab.generation(slot))
            #expect(!isLiveAfter && after & 1 == 0)
        }
    }

    @Test func elementsStayWhereTheyAreAndDoNotTouch() {
        struct Wide: BitwiseCopyable {
            var first: UInt8
            var second: UInt64
            var third: UInt16
        }
        var slab = Slab<Wide>(capacity: 1000)
        var addresses: [UnsafeMutablePointer<Wide>] = []
        for index in 0..<1000 {
            let slot = slab.allocate()!
            slab[slot].pointee = Wide(first: UInt8(index & 0xFF), second: UInt64(index), third: 9)
            addresses.append(slab[slot])
        }
        for index in 0..<1000 {
            let address = slab[UInt32(index)]
            #expect(address == addresses[index])
            #expect(address.pointee.second == UInt64(index))
            #expect(address.pointee.first == UInt8(index & 0xFF))
            #expect(UInt(bitPattern: address) % UInt(MemoryLayout<Wide>.alignment) == 0)
        }
        #expect(Slab<Wide>.slotBytes >= MemoryLayout<Wide>.size + 8)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomUseAgreesWithAModel(seed: UInt64) {
        var random = RandomSource(seed: seed)
        var slab = Slab<UInt64>(capacity: 64)
        // What is lent, in the order of lending, with what was written there.
        var live: [(slot: UInt32, value: UInt64)] = []
        for step in 0..<2000 as Range<UInt64> {
            if random.next(below: 100) < 55 {
                if let slot = slab.allocate() {
                    #expect(!live.contains { $0.slot == slot })
                    slab[slot].pointee = step
                    live.append((slot, step))
                } else {
                    #expect(live.count == 64)
                }
            } else if !live.isEmpty {
                let (slot, value) = live.remove(at: Int(random.next(below: UInt32(live.count))))
                let found = slab[slot].pointee
                #expect(found == value)
                slab.release(slot)
            }
            let count = slab.count
            #expect(count == live.count)
        }
        for slot in 0..<UInt32(64) {
            let isLive = slab.isLive(slot)
            #expect(isLive == live.contains { $0.slot == slot })
        }
    }
}
