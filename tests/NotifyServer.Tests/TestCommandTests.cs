using Marmot.NotifyServer.Tests.Support;
using Marmot.ProviderSimulators;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests;

/// <summary><c>marmot-server notify test</c> against a whole machine: relay and push server in one process, simulators for Apple and Google.</summary>
public class TestCommandTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    [Fact]
    public async Task Rings_one_device_through_a_running_server_and_says_so()
    {
        await using var providers = await SimulatedProviders.StartAsync();
        using var folder = new TemporaryFolder();
        var options = RunningServer.CreateOptions(folder.Path, providers, []);
        await using var server = await MarmotServerProcess.StartAsync("all", folder.Path, "--config=" + ServerProgram.WriteSettings(folder.Path, options));
        var apns = Convert.ToHexStringLower(Enumerable.Repeat((byte)0x7e, 32).ToArray());

        foreach (var dialect in new[] { "a", "b", "c" })
        {
            await using var test = ServerProgram.Start("notify", "test", "--npub", server.NotifyKey, "--token", $"fcm-token-{dialect}", "--platform", "fcm",
                "--dialect", dialect, "--relay", server.RelayUrl.AbsoluteUri, "--admin", server.AdminUrl.AbsoluteUri);
            Assert.True(await test.WaitForExitAsync(Patience) == 0, test.Output);
            Assert.Contains("sent", test.Output, StringComparison.Ordinal);
            Assert.Contains("fcm: accepted", test.Output, StringComparison.Ordinal);
        }

        await using var last = ServerProgram.Start("notify", "test", "--npub", server.NotifyKey, "--token", apns, "--relay", server.RelayUrl.AbsoluteUri,
            "--admin", server.AdminUrl.AbsoluteUri);
        Assert.Equal(0, await last.WaitForExitAsync(Patience));
        await providers.Apns.WaitForRequestsAsync(1, CancellationToken.None).WaitAsync(Patience);
        await providers.Fcm.WaitForRequestsAsync(3, CancellationToken.None).WaitAsync(Patience);
        Assert.Equal(1, providers.Apns.DeliveriesFor(apns));

        providers.Apns.Script("0bad", SimulatedVerdict.Of(400, "BadDeviceToken"));
        await using var dead = ServerProgram.Start("notify", "test", "--npub", server.NotifyKey, "--token", "0bad", "--relay", server.RelayUrl.AbsoluteUri,
            "--admin", server.AdminUrl.AbsoluteUri);
        Assert.Equal(1, await dead.WaitForExitAsync(Patience));
        Assert.Contains("apns: dead (BadDeviceToken)", dead.Output, StringComparison.Ordinal);
        Assert.All(new[] { "a", "b", "c" }, dialect => Assert.Equal(1, providers.Fcm.DeliveriesFor($"fcm-token-{dialect}")));
    }

    [Theory]
    [InlineData("""marmot_notify_tokens_lost_total{cause="no-provider"} 1""", "not pushed: no-provider")]
    [InlineData("""marmot_notify_tokens_total{dialect="marmot-push-v1",outcome="skipped"} 1""",
        "not pushed: the server could not decrypt the token; is the key its own?")]
    [InlineData("""marmot_notify_pushes_ended_total{app="a",platform="apns",end="refused",reason="BadTopic"} 1""", "apns: refused (BadTopic)")]
    [InlineData("""marmot_notify_pushes_ended_total{app="a",platform="fcm",end="accepted",reason="ok"} 1""", null)]
    [InlineData("""marmot_notify_tokens_lost_total{cause="coalesced"} 1""", null)]
    [InlineData("""marmot_notify_tokens_total{dialect="marmot-push-v1",outcome="decrypted"} 1""", null)]
    public void What_grew_is_told_in_one_line_and_other_pushes_are_not(string line, string? told) =>
        Assert.Equal(told, TestOutcome.Judge([], TestOutcome.Parse(line + "\n"), "apns")?.Line);

    [Fact]
    public async Task Ends_with_two_on_wrong_usage_and_with_one_when_no_relay_answers()
    {
        await using var wrong = ServerProgram.Start("notify", "test", "--npub", "nobody");
        Assert.Equal(2, await wrong.WaitForExitAsync(Patience));
        using var key = Protocol.Keys.SecretKey.Generate();
        await using var dead = ServerProgram.Start("notify", "test", "--npub", key.PublicKey.ToString(), "--token", "00", "--relay",
            $"ws://127.0.0.1:{FreePort.Take(1)[0]}/");
        Assert.Equal(1, await dead.WaitForExitAsync(Patience));
        Assert.Contains("no answer", dead.Output, StringComparison.Ordinal);
    }
}
