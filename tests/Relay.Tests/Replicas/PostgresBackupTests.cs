using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>The backup that docs/operate.md names for replicas, taken from a running relay and put back.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class PostgresBackupTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_dump_taken_while_events_come_in_brings_back_all_that_was_acknowledged_before_and_what_was_deleted_stays_gone()
    {
        using var folder = new TemporaryFolder();
        var database = await postgres.CreateDatabaseAsync();
        using var key = SecretKey.Generate();
        NostrEvent Group(string content) => NostrEvent.Create(key, 445, [["h", "g"]], content, EventStoreContract.Now);
        var gone = Group("gone");
        var kept = Enumerable.Range(0, 50).Select(i => Group($"{i}")).ToArray();
        var later = Enumerable.Range(0, 200).Select(i => Group($"later {i}")).ToArray();
        await using (var relay = await RelayHost.StartAsync(EventStoreContract.Now, null, $"--Storage:Postgres={database}"))
        {
            await using var client = await relay.ConnectAsync();
            await client.PublishAllAsync([.. kept, gone, NostrEvent.Create(key, 5, [["e", gone.Id.ToString()]], "", EventStoreContract.Now)]);
            var dumping = postgres.Server.DumpAsync(database, folder.File("dump"));
            await client.PublishAllAsync(later);
            await dumping;
        }

        var restored = await postgres.Server.RestoreAsync(folder.File("dump"));
        await using var again = await RelayHost.StartAsync(EventStoreContract.Now, null, $"--Storage:Postgres={restored}");
        await using var reader = await again.ConnectAsync();
        var there = (await reader.QueryAsync("{\"kinds\":[445]}")).ToHashSet();
        Assert.Superset(kept.Select(e => e.Id.ToString()).ToHashSet(), there);
        Assert.DoesNotContain(gone.Id.ToString(), there);
        var (accepted, text) = await reader.PublishAsync(gone);
        Assert.False(accepted);
        Assert.StartsWith("blocked: ", text, StringComparison.Ordinal);

        // Whatever part of the later ones the dump has, all of them can be sent again.
        await reader.PublishAllAsync(later);
        Assert.Equal(250, (await reader.QueryAsync("{\"kinds\":[445]}")).Count);
    }
}
