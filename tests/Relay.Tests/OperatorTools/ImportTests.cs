using System.IO.Compression;
using System.Text;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Keys;
using Marmot.Relay.Operator;
using Marmot.Relay.Storage;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.OperatorTools;

/// <summary>What an operator brings himself: the relay's rules, which of them he may leave aside, and how he learns what was refused.</summary>
public sealed class ImportTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly SecretKey _key = SecretKey.Generate();
    private readonly long _now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    public void Dispose()
    {
        _folder.Dispose();
        _key.Dispose();
    }

    [Theory]
    [InlineData("--any-age", "Relay:RetentionDays:1=7")]
    [InlineData("--any-author", "Relay:WriteAllowList:0=0000000000000000000000000000000000000000000000000000000000000001")]
    [InlineData("--any-work", "Relay:MinProofOfWork=30")]
    public async Task A_rule_of_the_relay_holds_for_an_import_until_the_operator_leaves_it_aside_by_name(string waiver, string setting)
    {
        await File.WriteAllTextAsync(_folder.File("in.jsonl"), Line(NostrEvent.Create(_key, 1, [], "x", _now - (30 * 86400))));
        string[] import = ["import", _folder.File("in.jsonl"), $"--Storage:DataDirectory={_folder.File("data")}", $"--{setting}"];
        Assert.Equal(1, await RelayCommands.RunAsync(import));
        Assert.Equal(0, await CountAsync());
        foreach (var other in new[] { "--any-age", "--any-author", "--any-work" }.Where(other => other != waiver))
        {
            Assert.Equal(1, await RelayCommands.RunAsync([.. import, other]));
        }

        Assert.Equal(0, await RelayCommands.RunAsync([.. import, waiver]));
        Assert.Equal(1, await CountAsync());
    }

    [Fact]
    public async Task No_option_brings_in_what_no_relay_may_hold()
    {
        NostrEvent[] events = [
            NostrEvent.Create(_key, 444, [], "x", _now), NostrEvent.Create(_key, 1, [], "x", _now + (7 * 86400)),
            NostrEvent.Create(_key, 1, [], new string('x', 20_000), _now)
        ];
        await File.WriteAllLinesAsync(_folder.File("in.jsonl"), events.Select(evt => Line(evt).TrimEnd()));
        Assert.Equal(1, await RelayCommands.RunAsync(
            [
                "import", _folder.File("in.jsonl"), "--any-age", "--any-author", "--any-work", $"--Storage:DataDirectory={_folder.File("data")}",
                "--Relay:MaxMessageBytes=16384"
            ]));
        Assert.Equal(0, await CountAsync());
    }

    [Fact]
    public async Task Packed_files_are_read_and_written_and_how_far_it_is_is_known()
    {
        var events = Enumerable.Range(0, 50).Select(i => NostrEvent.Create(_key, 1, [], $"{i}", _now - i)).ToList();
        await using (var packed = new GZipStream(File.Create(_folder.File("in.jsonl.gz")), CompressionLevel.Fastest))
        {
            foreach (var evt in events)
            {
                await packed.WriteAsync(Encoding.UTF8.GetBytes(Line(evt)));
            }
        }

        Assert.Equal(0, await RelayCommands.RunAsync(["import", _folder.File("in.jsonl.gz"), $"--Storage:DataDirectory={_folder.File("data")}"]));
        Assert.Equal(events.Count, await CountAsync());
        Assert.Equal(0, await RelayCommands.RunAsync(["export", _folder.File("out.gz"), $"--Storage:DataDirectory={_folder.File("data")}"]));
        await using (var input = new ImportStream(File.OpenRead(_folder.File("out.gz"))))
        {
            using var reader = new StreamReader(input);
            Assert.Equal(events.Count, (await reader.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
            Assert.Equal(100, input.Percent);
        }

        await using var pipe = new ImportStream(new GZipStream(File.OpenRead(_folder.File("out.gz")), CompressionMode.Decompress));
        using var plain = new StreamReader(pipe);
        Assert.Equal(events.Count, (await plain.ReadToEndAsync()).Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.Null(pipe.Percent); // a pipe does not say how much is to come
    }

    [Fact]
    public async Task Damaged_gzip_and_files_of_a_byte_are_said_and_no_exception()
    {
        await using (var packed = new GZipStream(File.Create(_folder.File("cut.gz")), CompressionLevel.Fastest))
        {
            await packed.WriteAsync(Encoding.UTF8.GetBytes(Line(NostrEvent.Create(_key, 1, [], new string('x', 5000), _now))));
        }

        var bytes = await File.ReadAllBytesAsync(_folder.File("cut.gz"));
        bytes[12] ^= 0xFF;
        await File.WriteAllBytesAsync(_folder.File("cut.gz"), bytes);
        Assert.Equal(1, await RelayCommands.RunAsync(["import", _folder.File("cut.gz"), $"--Storage:DataDirectory={_folder.File("data")}"]));
        await File.WriteAllBytesAsync(_folder.File("byte"), [0x1F]);
        Assert.Equal(1, await RelayCommands.RunAsync(["import", _folder.File("byte"), $"--Storage:DataDirectory={_folder.File("data")}"]));
        await File.WriteAllBytesAsync(_folder.File("empty"), []);
        Assert.Equal(0, await RelayCommands.RunAsync(["import", _folder.File("empty"), $"--Storage:DataDirectory={_folder.File("data")}"]));
    }

    [Fact]
    public async Task Reasons_are_counted_and_told_line_by_line_and_group_events_of_any_age_are_taken()
    {
        NostrEvent good = NostrEvent.Create(_key, 445, [["h", new string('a', 64)]], "x", _now - (40 * 86400)),
            expired = NostrEvent.Create(_key, 1, [["expiration", $"{_now - 5}"]], "x", _now - 10);
        var escaped = Line(expired).Replace("\"expiration\"", "\"expir\\u0061tion\"", StringComparison.Ordinal);
        var forged = Line(good).Replace(good.Id.ToString(), new string('0', 64), StringComparison.Ordinal);
        await using var store = EmbeddedEventStore.Open(_folder.File("store"));
        var told = new List<string>();
        var refusals = new Refusals(text =>
        {
            told.Add(text);
            return Task.CompletedTask;
        });
        using var lines = new MemoryStream(Encoding.UTF8.GetBytes($"{Line(good)}\nnonsense\n{escaped}{Line(expired)}{forged}"));
        var progress = new List<string>();
        Assert.Equal(new EventImport.Result(1, 0, 4), await EventImport.RunAsync(store, lines, refusals: refusals, progress: progress.Add));
        Assert.Equal(2, refusals.Counts["the event has expired"]);
        Assert.Equal(["line 3", "line 4", "line 5", "line 6"], told.Select(text => text[..6]));
        Assert.StartsWith("5 lines, ", progress[^1], StringComparison.Ordinal);
        Assert.EndsWith("the event has expired", refusals.Describe().First(), StringComparison.Ordinal);
    }

    [Fact]
    [Trait("Spec", "NIP-77")]
    [Trait("Clock", "Date")] // sync dates its proof (NIP-42) and its filter
    public async Task Group_events_of_any_age_go_to_a_relay_with_a_clock_window_from_its_operators_key()
    {
        const long Now = 1_700_000_500;
        using var admin = SecretKey.Generate();
        await using var relay = await RelayHost.StartAsync(Now, null, "--Public:Origin=", "--Relay:GroupEventClockSkew=00:10:00",
            $"--Relay:Admins:0={admin.PublicKey}");
        await using var store = EmbeddedEventStore.Open(_folder.File("store"));
        var events = Enumerable.Range(0, 30).Select(i => NostrEvent.Create(_key, 445, [["h", new string('b', 64)]], $"{i}", Now - 3600 - i)).ToList();
        await store.WriteAsync([.. events.Select(evt => new EventWrite(Storage.EventStoreContract.Record(evt)))], CancellationToken.None);
        var refusals = new Refusals();
        var stranger = await new RelaySync(store, relay.WebSocket, null, relay.Clock, refusals: refusals)
            .RunAsync(new Filter(), SyncDirection.Push, CancellationToken.None);
        Assert.Equal(new RelaySync.Result(0, 0, 30, null), stranger);
        Assert.Equal(30, refusals.Counts["the other relay refused it: invalid"]);
        Assert.Equal(new RelaySync.Result(0, 30, 0, null), await new RelaySync(store, relay.WebSocket, admin, relay.Clock)
            .RunAsync(new Filter(), SyncDirection.Push, CancellationToken.None));
    }

    private static string Line(NostrEvent evt) => Encoding.UTF8.GetString(evt.Json.Span) + "\n";

    private async Task<long> CountAsync()
    {
        await using var store = EmbeddedEventStore.Open(Path.Combine(_folder.File("data"), RelayHosting.Folder));
        return (await store.ReadStatisticsAsync(CancellationToken.None)).Events;
    }
}
