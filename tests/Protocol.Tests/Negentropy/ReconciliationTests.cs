using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Negentropy;

namespace Marmot.Protocol.Tests.Negentropy;

public sealed class ReconciliationTests
{
    private static NegentropyItem Item(int i) =>
        new(1_700_000_000 + (i / 3), new Bytes32(SHA256.HashData(System.Text.Encoding.ASCII.GetBytes(i.ToString(CultureInfo.InvariantCulture)))));

    private static NegentropySet Set(IEnumerable<int> numbers) => new(numbers.Select(Item));

    // Runs both sides to the end and counts the messages of the client.
    private static (HashSet<Bytes32> Have, HashSet<Bytes32> Need, int Rounds) Run(NegentropySet client, NegentropySet relay, int limit)
    {
        var have = new List<Bytes32>();
        var need = new List<Bytes32>();
        var next = Reconciliation.Initiate(client);
        var rounds = 0;
        while (next is not null)
        {
            Assert.True(++rounds < 1000, "no end");
            Assert.True(Reconciliation.TryRespond(relay, next, limit, out var answer));
            Assert.True(answer.Length <= limit);
            Assert.True(Reconciliation.TryReconcile(client, answer, limit, have, need, out next));
            Assert.True(next is null || next.Length <= limit);
        }

        return ([.. have], [.. need], rounds);
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public void The_first_message_is_byte_for_byte_that_of_another_implementation()
    {
        using var vectors = TestVectors.Open("negentropy-initiate.json");
        foreach (var vector in vectors.RootElement.GetProperty("cases").EnumerateArray())
        {
            int from = vector.GetProperty("from").GetInt32(), to = vector.GetProperty("to").GetInt32();
            Assert.Equal(
                vector.GetProperty("initiate").GetString(),
                Convert.ToHexStringLower(Reconciliation.Initiate(Set(Enumerable.Range(from, to - from)))));
        }
    }

    [Theory]
    [Trait("Spec", "NIP-77")]
    [InlineData(1, 4096)]
    [InlineData(2, 4096)]
    [InlineData(3, 60_000)]
    [InlineData(4, 60_000)]
    [InlineData(5, 1_000_000)]
    public void Both_sides_learn_exactly_the_difference(int seed, int limit)
    {
        var random = new Random(seed);
        for (var round = 0; round < 30; round++)
        {
            var size = random.Next(1, 3000);
            var keep = random.NextDouble();
            var client = Enumerable.Range(0, size).Where(_ => random.NextDouble() < keep).ToHashSet();
            var relay = Enumerable.Range(0, size).Where(_ => random.NextDouble() < keep).ToHashSet();
            var (have, need, _) = Run(Set(client), Set(relay), limit);
            Assert.Equal([.. client.Except(relay).Select(i => Item(i).Id)], have);
            Assert.Equal([.. relay.Except(client).Select(i => Item(i).Id)], need);
        }
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public void Equal_sets_are_done_after_one_message_and_one_difference_after_few()
    {
        Assert.Equal(1, Run(Set(Enumerable.Range(0, 10_000)), Set(Enumerable.Range(0, 10_000)), 60_000).Rounds);
        var (have, need, rounds) = Run(Set(Enumerable.Range(0, 10_000)), Set(Enumerable.Range(0, 10_000).Where(i => i != 777)), 60_000);
        Assert.Equal(Item(777).Id, Assert.Single(have));
        Assert.Empty(need);
        Assert.InRange(rounds, 2, 4);
    }

    [Fact]
    public void Repeated_records_count_once()
    {
        Assert.Equal(3, new NegentropySet([Item(1), Item(2), Item(1), Item(9), Item(2)]).Count);
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public void Answers_another_version_with_its_own_and_refuses_garbage()
    {
        var set = Set(Enumerable.Range(0, 100));
        Assert.True(Reconciliation.TryRespond(set, [0x62, 1, 2, 3], 60_000, out var answer));
        Assert.Equal([Reconciliation.Version], answer);
        Assert.False(Reconciliation.TryRespond(set, [], 60_000, out _));
        Assert.False(Reconciliation.TryRespond(set, [0x00], 60_000, out _));
        Assert.False(Reconciliation.TryReconcile(set, [0x62], 60_000, [], [], out _));
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    public void No_cut_and_no_changed_byte_makes_either_side_throw()
    {
        var set = Set(Enumerable.Range(0, 200));
        var messages = new List<byte[]> { Reconciliation.Initiate(Set(Enumerable.Range(0, 20))), Reconciliation.Initiate(Set(Enumerable.Range(50, 500))) };
        Assert.True(Reconciliation.TryRespond(set, messages[1], 60_000, out var answer));
        messages.Add(answer);
        var random = new Random(5);
        foreach (var message in messages)
        {
            for (var cut = 0; cut < message.Length; cut++)
            {
                Reconciliation.TryRespond(set, message.AsSpan(0, cut), 4096, out _);
                Reconciliation.TryReconcile(set, message.AsSpan(0, cut), 4096, [], [], out _);
            }

            for (var i = 0; i < 5000; i++)
            {
                var changed = (byte[])message.Clone();
                changed[random.Next(1, changed.Length)] = (byte)random.Next(256);
                changed[random.Next(1, changed.Length)] ^= (byte)(1 << random.Next(8));
                Reconciliation.TryRespond(set, changed, 4096, out _);
                Reconciliation.TryReconcile(set, changed, 4096, [], [], out _);
            }
        }
    }
}
