using System.Net.Sockets;
using System.Text;
using Marmot.Hosting.Moderating;
using Marmot.Hosting.Operating;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Relay.Tests.OperatorTools;

/// <summary>The operator's commands while the relay runs on its embedded store.</summary>
public sealed class RunningRelayTests
{
    private const long Now = 1_700_000_500;

    [Fact]
    public async Task Import_export_stats_and_delete_work_on_a_running_relay_and_subscribers_hear_the_import()
    {
        using var folder = new TemporaryFolder();
        await using var relay = await RelayHost.StartAsync(Now);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 2500).Select(i => NostrEvent.Create(key, 445, [["h", "g"]], $"{i}", Now - 5_000_000 + i)).ToList();
        await File.WriteAllLinesAsync(folder.File("in.jsonl"), events.Select(evt => Encoding.UTF8.GetString(evt.Json.Span)));
        Assert.Empty(await client.QueryAsync("{\"#h\":[\"g\"]}", "live", keep: true));

        Assert.Equal(0, await RunAsync(relay, "import", folder.File("in.jsonl")));
        foreach (var evt in events)
        {
            Assert.Equal(evt.Id.ToString(), (await client.ReceiveAsync())[2].GetProperty("id").GetString());
        }

        Assert.Equal(0, await RunAsync(relay, "export", folder.File("out.jsonl"), "--filter", "{\"kinds\":[445]}"));
        Assert.Equal(await File.ReadAllLinesAsync(folder.File("in.jsonl")), await File.ReadAllLinesAsync(folder.File("out.jsonl")));
        Assert.Equal(0, await RunAsync(relay, "stats"));
        Assert.Equal(1, await RunAsync(relay, "delete", "--filter", "{\"#h\":[\"g\"]}")); // counts, and removes nothing
        Assert.Equal(2500, (await client.QueryAsync("{\"#h\":[\"g\"]}")).Count);
        Assert.Equal(0, await RunAsync(relay, "list", "--filter", "{\"#h\":[\"g\"],\"limit\":3}"));
        Assert.Equal(0, await RunAsync(relay, "delete", "--filter", "{\"#h\":[\"g\"]}", "--yes"));
        Assert.Empty(await client.QueryAsync("{\"#h\":[\"g\"]}"));
        Assert.Equal(1, await RunAsync(relay, "compact"));
        await relay.Services.GetRequiredService<Moderation>()
            .ChangeAsync(s => s with { BannedKeys = new() { [key.PublicKey.ToString()] = "" } }, CancellationToken.None);
        Assert.Equal(1, await RunAsync(relay, "import", folder.File("in.jsonl")));
        Assert.Empty(await client.QueryAsync("{\"#h\":[\"g\"]}")); // what is banned does not come back that way
        await File.WriteAllTextAsync(folder.File("bad.jsonl"), "{}\n");
        Assert.Equal(1, await RunAsync(relay, "import", folder.File("bad.jsonl")));
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    [Trait("Clock", "Date")] // sync dates its proof (NIP-42) and its filter
    public async Task Two_running_relays_are_brought_together()
    {
        await using var a = await RelayHost.StartAsync(Now);
        await using var b = await RelayHost.StartAsync(Now);
        await using var clientA = await a.ConnectAsync();
        await using var clientB = await b.ConnectAsync();
        using var key = SecretKey.Generate();
        var events = Enumerable.Range(0, 300).Select(i => NostrEvent.Create(key, 1, [], $"{i}", Now - i)).ToList();
        await clientA.PublishAllAsync(events.Where((_, i) => i % 3 != 0));
        await clientB.PublishAllAsync(events.Where((_, i) => i % 3 != 1));
        Assert.Equal(0, await RunAsync(a, "sync", b.WebSocket.ToString()));
        var all = events.Select(evt => evt.Id.ToString());
        Assert.Equal(all, await clientA.QueryAsync("{}"));
        Assert.Equal(all, await clientB.QueryAsync("{}"));
    }

    [Fact]
    public async Task A_command_given_up_leaves_the_relay_as_it_was_and_a_stopping_relay_ends_commands()
    {
        await using var relay = await RelayHost.StartAsync(Now);
        var path = new StorePaths(Path.Combine(relay.Directory, RelayHosting.Folder)).OperatorSocket;
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
        }

        using (var gone = (await OperatorClient.TryConnectAsync(path))!)
        {
            await gone.WriteAsync(OperatorFrame.Command, "[\"import\"]"u8.ToArray(), CancellationToken.None);
            await gone.WriteAsync(OperatorFrame.Input, "{\"kind\":"u8.ToArray(), CancellationToken.None);
        }

        using (var garbage = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            await garbage.ConnectAsync(new UnixDomainSocketEndPoint(path));
            await garbage.SendAsync("GET /"u8.ToArray()); // a header of a frame far too long
            Assert.Equal(0, await garbage.ReceiveAsync(new byte[1])); // hangs up
        }

        using var wrong = (await OperatorClient.TryConnectAsync(path))!;
        Assert.Equal(2, await OperatorClient.RunAsync(wrong, ["drop"], Silent));
        Assert.Equal(0, await RunAsync(relay, "stats"));

        using var waiting = (await OperatorClient.TryConnectAsync(path))!;
        await waiting.WriteAsync(OperatorFrame.Command, "[\"import\"]"u8.ToArray(), CancellationToken.None);
        await relay.StopAsync();
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        Assert.Null(await waiting.ReadAsync(patience.Token));
        Assert.False(File.Exists(path));
        Assert.Null(await OperatorClient.TryConnectAsync(path));
    }

    private static CommandStreams Silent => new(Stream.Null, Stream.Null, _ => Task.CompletedTask, _ => { });

    private static Task<int> RunAsync(RelayHost relay, params string[] args) =>
        RelayCommands.RunAsync([.. args, "--Storage:DataDirectory=" + relay.Directory]);
}
