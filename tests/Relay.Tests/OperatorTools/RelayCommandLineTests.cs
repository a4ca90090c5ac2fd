using Marmot.Relay.Operator;

namespace Marmot.Relay.Tests.OperatorTools;

public sealed class RelayCommandLineTests
{
    [Theory]
    [InlineData("")]
    [InlineData("drop")]
    [InlineData("delete")]
    [InlineData("delete --filter")]
    [InlineData("delete --filter nonsense")]
    [InlineData("delete --filter {\"kinds\":\"x\"}")]
    [InlineData("delete --filter {}")]
    [InlineData("delete --filter {\"limit\":5}")]
    [InlineData("delete --filter {\"since\":0}")]
    [InlineData("export a b")]
    [InlineData("export --verbose")]
    [InlineData("stats --all")]
    [InlineData("import --filter {}")]
    [InlineData("stats file")]
    [InlineData("stats --every 0")]
    [InlineData("stats --every x")]
    [InlineData("compact now")]
    [InlineData("sync")]
    [InlineData("sync http://example.org")]
    [InlineData("sync ws://a ws://b")]
    [InlineData("sync ws://a --dir sideways")]
    [InlineData("sync ws://a --dir 7")]
    [InlineData("import --nonsense")]
    public void Refuses_what_makes_no_sense(string text)
    {
        Assert.Null(RelayCommandLine.TryRead(text.Split(' ', StringSplitOptions.RemoveEmptyEntries), out var mistake));
        Assert.NotEmpty(mistake);
    }

    [Fact]
    public void Reads_every_word_it_knows()
    {
        var line = RelayCommandLine.TryRead(
            [
                "sync", "wss://relay.example.org", "--dir", "pull", "--filter", "{\"kinds\":[445]}", "--auth-key", "key",
                "--Storage:DataDirectory=d", "--config", "c"
            ], out _)!;
        Assert.Equal((new Uri("wss://relay.example.org"), SyncDirection.Pull, "key"), (line.Url, line.Direction, line.AuthKeyFile));
        Assert.Equal([445], line.Filter!.Kinds!);
        Assert.Equal(["--config", "c", "--Storage:DataDirectory=d"], line.Settings);
        Assert.Equal(["sync", "wss://relay.example.org", "--dir", "pull", "--filter", "{\"kinds\":[445]}", "--auth-key", Path.GetFullPath("key")], line.Words);
        Assert.NotNull(RelayCommandLine.TryRead(line.Words, out _));
        line = RelayCommandLine.TryRead(["export", "--filter", "{}", "out.jsonl"], out _)!;
        Assert.Equal(("out.jsonl", true), (line.File, line.Filter is not null));
        line = RelayCommandLine.TryRead(["import", "-", "--verbose", "--any-age", "--any-work"], out _)!;
        Assert.Equal((null, true, ImportWaivers.Age | ImportWaivers.Work), (line.File, line.Verbose, line.Waivers));
        Assert.True(RelayCommandLine.TryRead(["delete", "--filter", "{}", "--all"], out _)!.All);
        Assert.True(RelayCommandLine.TryRead(["compact", "--drop-damaged"], out _)!.DropDamaged);
        line = RelayCommandLine.TryRead(["stats", "--live", "--every", "5"], out _)!;
        Assert.Equal((true, 5, false), (line.Live, line.Every, line.Json));
    }

    [Fact]
    public async Task Says_2_for_wrong_usage_and_1_for_a_failure()
    {
        Assert.Equal(2, await RelayCommands.RunAsync(["drop"]));
        Assert.Equal(0, await RelayCommands.RunAsync(["--help"]));
        Assert.Equal(1, await RelayCommands.RunAsync(["stats", "--live", "--Admin:Urls=http://127.0.0.1:1"]));
    }

    [Fact]
    public void Live_numbers_are_sums_first_and_rates_after()
    {
        const string metrics = "# HELP x\nrelay_connections 7\nrelay_events_accepted_total 40\nrelay_events_refused_total{reason=\"pow\"} "
            + "2\nrelay_events_refused_total{reason=\"invalid\"} 3\nother 9\n";
        var now = LiveStatistics.Read(metrics);
        Assert.Equal(5, now["relay_events_refused_total"]);
        Assert.Equal("connections 7  accepted 40  duplicate 0  refused 5  delivered 0  queries 0  dropped 0", LiveStatistics.Describe(now, null, 0));
        var before = LiveStatistics.Read("relay_events_accepted_total 20\nrelay_events_refused_total 5\n");
        Assert.Equal("connections 7  accepted 10.0/s  duplicate 0.0/s  refused 0.0/s  delivered 0.0/s  queries 0.0/s  dropped 0.0/s",
            LiveStatistics.Describe(now, before, 2));
    }
}
