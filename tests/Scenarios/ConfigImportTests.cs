using Marmot.TestKit;

namespace Marmot.Scenarios;

/// <summary>Settings of other servers become ours, and what comes out passes <c>config check</c>.</summary>
public sealed class ConfigImportTests : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Settings_of_a_strfry_relay()
    {
        var (exitCode, output) = await ImportAsync("strfry", """
            db = "./strfry-db/"
            relay {
                bind = "127.0.0.1"   # behind a proxy
                port = 17777
                info {
                    name = "Sky # one"
                    pubkey = "unset"
                    contact = "mailto:op@example.org"
                }
                maxWebsocketPayloadSize = 131072
                autoPingSeconds = 55
                maxFilterLimit = 500
                nofiles = 1000000
            }
            events {
                rejectEventsNewerThanSeconds = 900
                maxNumTags = 2000
            }
            """);
        Assert.Equal(0, exitCode);
        foreach (var expected in new[] { "\"Urls\": \"http://127.0.0.1:17777\"", "\"Name\": \"Sky # one\"", "\"MaxMessageBytes\": 131072",
            "\"PingInterval\": \"00:00:55\"", "\"MaxFuture\": \"00:15:00\"" })
        {
            Assert.Contains(expected, output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("PublicKey", output, StringComparison.Ordinal);
        Assert.Contains("relay.nofiles: no counterpart here", output, StringComparison.Ordinal);
        Assert.Contains("strfry export | marmot-server relay import", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Settings_of_a_transponder()
    {
        var (exitCode, output) = await ImportAsync("transponder", """
            [server]
            private_key = ""
            private_key_file = "/run/secrets/key"
            shutdown_timeout_secs = 9
            device_token_rate_limit_per_minute = 100
            max_tokens_per_event = 100
            [relays]
            clearnet = [
                "wss://one.example",   # first
                "wss://two.example"
            ]
            onion = ["ws://abc.onion"]
            [apns]
            enabled = false
            key_id = "ABC"
            [fcm]
            enabled = true
            service_account_path = "/etc/fcm.json"
            [health]
            bind_address = "127.0.0.1:18099"
            [logging]
            level = "info"
            format = "json"
            """);
        Assert.Equal(0, exitCode);
        foreach (var expected in new[] { "\"KeyFile\": \"/run/secrets/key\"", "\"DrainTimeout\": \"00:00:09\"", "\"0\": \"wss://one.example\"",
            "\"1\": \"wss://two.example\"",
            "\"ServiceAccountFile\": \"/etc/fcm.json\"", "\"Urls\": \"http://127.0.0.1:18099\"", "\"Format\": \"Json\"" })
        {
            Assert.Contains(expected, output, StringComparison.Ordinal);
        }

        Assert.DoesNotContain("ABC", output, StringComparison.Ordinal); // APNs is off
        Assert.Contains("1 onion services are left out", output, StringComparison.Ordinal);
        Assert.Contains("server.max_tokens_per_event: no counterpart here", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("relay {\n port 7777\n}", "line 2")]
    [InlineData("}", "line 1")]
    [InlineData("relay {\n maxFilterLimit = many\n}", "relay.maxFilterLimit")]
    public async Task A_file_that_is_none_is_refused_with_its_place(string text, string place)
    {
        var (exitCode, output) = await ImportAsync("strfry", text);
        Assert.Equal(1, exitCode);
        Assert.Contains(place, output, StringComparison.Ordinal);
    }

    private async Task<(int ExitCode, string Output)> ImportAsync(string kind, string text)
    {
        await File.WriteAllTextAsync(_folder.File("theirs"), text);
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, "import-config", kind, _folder.File("theirs")]);
        var exitCode = await process.WaitForExitAsync(Timeout);
        return (exitCode, process.Output);
    }
}
