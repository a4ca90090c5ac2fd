using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Queries;
using Marmot.Relay.Tests.Kit;

namespace Marmot.Relay.Tests.Queries;

public sealed class CountTests
{
    private const long Now = 1_700_000_500;

    [Theory]
    [Trait("Spec", "NIP-45")]
    [InlineData("0000000000000000000000000000000000000000000000000000000000000000", 8)]
    [InlineData("00000000000000000000000000000000f0000000000000000000000000000000", 23)]
    [InlineData("30023:00000000000000000000000000000000a0000000000000000000000000000000:name", 18)]
    [InlineData("abc", 19)] // SHA-256 ba7816bf 8f01cfea 414140de 5dae2223 b0...: the 33rd digit is b
    public void The_offset_comes_from_the_first_tag_value(string value, int offset) => Assert.Equal(offset, HyperLogLog.OffsetOf(value));

    [Fact]
    [Trait("Spec", "NIP-45")]
    public async Task Counts_with_registers_of_the_authors_where_a_tag_is_asked_for()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        var target = new string('0', 64); // offset 8
        var authors = new List<Bytes32>();
        for (var i = 0; i < 40; i++)
        {
            using var key = SecretKey.Generate();
            authors.Add(key.PublicKey);
            Assert.True((await client.PublishAsync(NostrEvent.Create(key, 7, [["e", target]], "+", Now))).Accepted);
            Assert.True((await client.PublishAsync(NostrEvent.Create(key, 7, [["e", target]], "++", Now))).Accepted);
        }

        // The obvious reading of the three steps.
        var registers = new byte[256];
        foreach (var author in authors)
        {
            var bits = string.Concat(author.Span[9..].ToArray().Select(b => Convert.ToString(b, 2).PadLeft(8, '0')));
            registers[author.Span[8]] = Math.Max(registers[author.Span[8]], (byte)(bits.IndexOf('1', StringComparison.Ordinal) + 1));
        }

        await client.SendAsync($"[\"COUNT\",\"c\",{{\"kinds\":[7],\"#e\":[\"{target}\"],\"limit\":1}}]");
        var answer = (await client.ReceiveAsync())[2];
        Assert.Equal(80, answer.GetProperty("count").GetInt32());
        Assert.Equal(Convert.ToHexStringLower(registers), answer.GetProperty("hll").GetString());

        await client.SendAsync("[\"COUNT\",\"c\",{\"kinds\":[7]}]");
        answer = (await client.ReceiveAsync())[2];
        Assert.Equal(80, answer.GetProperty("count").GetInt32());
        Assert.False(answer.TryGetProperty("hll", out _));

        await client.SendAsync($"[\"COUNT\",\"c\",{{\"kinds\":[7]}},{{\"#e\":[\"{target}\"]}}]");
        Assert.Equal(80, (await client.ReceiveAsync())[2].GetProperty("count").GetInt32());
    }
}
