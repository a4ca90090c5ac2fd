using Marmot.Hosting.Cluster;
using Marmot.Protocol.Encoding;
using Marmot.TestKit.Servers;
using Microsoft.Extensions.Logging.Abstractions;

namespace Marmot.Hosting.Tests.Cluster;

/// <summary>A PostgreSQL that answers nonsense is away, with a reason; nothing else ends.</summary>
public sealed class NonsenseServerTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static TheoryData<string, bool> Cases
    {
        get
        {
            var cases = new TheoryData<string, bool>();
            foreach (var kind in NonsenseServer.Kinds)
            {
                cases.Add(kind, false);
                cases.Add(kind, true);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task Postgres_that_answers_nonsense_is_away(string kind, bool afterStart)
    {
        await using var server = NonsenseServer.Start(kind, afterStart);
        var settings = $"Host=127.0.0.1;Port={server.Port};Username=a;Database=a;Timeout=2;Command Timeout=2;Cancellation Timeout=1000;Pooling=true";
        await using var bus = new PostgresBus(settings, NullLogger.Instance);
        await using var ledger = new PostgresLedger(settings, NullLogger.Instance);
        await HoldsAsync(server, bus, ledger, ledger);
    }

    private static async Task HoldsAsync(NonsenseServer server, PostgresBus bus, PostgresLedger ledger, PostgresLedger values)
    {
        using var listening = bus.Subscribe("a", new Deaf());
        bus.Publish("a", "hello"u8.ToArray());
        for (var i = 0; i < 3; i++)
        {
            using var patience = new CancellationTokenSource(Patience);
            await Assert.ThrowsAnyAsync<IOException>(() => ledger.ClaimAsync(default, Bytes32.ParseHex(new string('1', 64)), TimeSpan.FromSeconds(1), patience.Token).AsTask());
            await Assert.ThrowsAnyAsync<IOException>(() => values.OfferAsync(default, [1], TimeSpan.FromSeconds(1), patience.Token).AsTask());
        }

        // It still tries: nothing has given up for good.
        var before = server.Asked;
        for (var i = 0; i < 300 && server.Asked == before; i++)
        {
            await Task.Delay(100);
        }

        Assert.True(server.Asked > before);
    }

    private sealed class Deaf : IClusterListener
    {
        public void OnMessage(ReadOnlyMemory<byte> message)
        {
        }

        public void OnGap()
        {
        }
    }
}
