using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.Relay.Tests.Storage.Postgres;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Replicas;

/// <summary>The operator's commands on a database: a relay moves between the stores, with one running meanwhile.</summary>
[Collection(PostgresFixture.Collection)]
public sealed class OperatorCommandTests(PostgresFixture postgres)
{
    [Fact]
    public async Task A_whole_relay_moves_from_embedded_to_postgresql_and_back()
    {
        using var folder = new TemporaryFolder();
        var database = await postgres.Server.CreateDatabaseAsync(); // empty: migrate makes the tables
        using var key = SecretKey.Generate();
        var gone = NostrEvent.Create(key, 1, [], "gone", 1_700_000_000);
        List<NostrEvent> events =
        [
            gone, .. Enumerable.Range(0, 20).Select(i => NostrEvent.Create(key, 445, [["h", "g"]], $"{i}", 1_700_000_000 + i)),
            NostrEvent.Create(key, 5, [["e", gone.Id.ToString()]], "", 1_700_000_030),
        ];
        var lines = folder.File("events.jsonl");
        await File.WriteAllLinesAsync(lines, events.Select(e => Encoding.UTF8.GetString(e.Json.Span)));
        string[] embedded = [$"--Storage:DataDirectory={folder.File("a")}"], back = [$"--Storage:DataDirectory={folder.File("b")}"];
        string[] postgresql = [$"--Storage:Postgres={database}"];

        Assert.Equal(0, await RelayCommands.RunAsync(["import", lines, .. embedded]));
        Assert.Equal(0, await RelayCommands.RunAsync(["export", folder.File("1.jsonl"), .. embedded]));
        Assert.Equal(0, await RelayCommands.RunAsync(["migrate", .. postgresql]));
        Assert.Equal(0, await RelayCommands.RunAsync(["migrate", .. postgresql]));
        Assert.Equal(0, await RelayCommands.RunAsync(["import", folder.File("1.jsonl"), .. postgresql]));
        Assert.Equal(0, await RelayCommands.RunAsync(["export", folder.File("2.jsonl"), .. postgresql]));
        Assert.Equal(0, await RelayCommands.RunAsync(["import", folder.File("2.jsonl"), .. back]));
        Assert.Equal(0, await RelayCommands.RunAsync(["export", folder.File("3.jsonl"), .. back]));
        Assert.Equal(0, await RelayCommands.RunAsync(["stats", .. postgresql]));

        var first = await File.ReadAllLinesAsync(folder.File("1.jsonl"));
        Assert.Equal(21, first.Length);
        Assert.Equal(first, await File.ReadAllLinesAsync(folder.File("2.jsonl")));
        Assert.Equal(first, await File.ReadAllLinesAsync(folder.File("3.jsonl")));
    }

    [Fact]
    public async Task A_running_replica_soon_takes_back_what_the_operator_deleted()
    {
        var database = await postgres.CreateDatabaseAsync();
        await using var relay = await RelayHost.StartAsync(1_700_000_500, null, $"--Storage:Postgres={database}", "--Cluster:PollInterval=00:00:00.2");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var note = NostrEvent.Create(key, 1, [], "a", 1_700_000_000);
        Assert.True((await client.PublishAsync(note)).Accepted);
        Assert.Equal(0, await RelayCommands.RunAsync(["delete", "--filter", "{\"kinds\":[1]}", "--yes", $"--Storage:Postgres={database}"]));
        Assert.Empty(await client.QueryAsync("{\"kinds\":[1]}"));

        // Until it looks at the head again it may believe that it has the event.
        string text;
        do
        {
            (var accepted, text) = await client.PublishAsync(note);
            Assert.True(accepted, text);
        }
        while (text.StartsWith("duplicate: ", StringComparison.Ordinal) && (await client.QueryAsync("{\"kinds\":[1]}")).Count == 0);
        Assert.Single(await client.QueryAsync("{\"kinds\":[1]}"));
    }

    [Fact]
    public async Task Says_what_is_wrong_when_the_database_cannot_be_reached() =>
        Assert.Equal(1, await RelayCommands.RunAsync(["stats", $"--Storage:Postgres=Host=127.0.0.1;Port={FreePort.Take(1)[0]};Username=x;Database=x"]));
}
