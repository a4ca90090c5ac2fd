using System.CommandLine;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Marmot.ProviderSimulators;
using Marmot.Terminal;
using static Marmot.ProviderSimulators.Tests.SimulatorClient;

namespace Marmot.ProviderSimulators.Tests;

public sealed class SimCommandsTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("marmot-sim-").FullName;
    private readonly CancellationTokenSource _deadline = new(TimeSpan.FromSeconds(30));

    public void Dispose()
    {
        Directory.Delete(_folder, recursive: true);
        _deadline.Dispose();
    }

    private static Task<int> SimAsync(string[] args, TextWriter output, TextWriter error, CancellationToken stop) =>
        ConsoleProgram.RunAsync(new RootCommand { SimCommands.CreateCommand() }, ["sim", .. args], output, error, stop);

    private string At(string name) => Path.Combine(_folder, name);

    /// <summary>Runs until the body is done with the card.</summary>
    private async Task<string> RunAsync(string[] args, Func<JsonElement, Task> body)
    {
        using var stop = new CancellationTokenSource();
        var output = new LineWriter();
        using var error = new StringWriter();
        var run = SimAsync([.. args, "--json", "--write-credentials", At("credentials")], output, error, stop.Token);
        var first = await Task.WhenAny(output.FirstLine, run);
        Assert.True(first != run, error.ToString());
        using var card = JsonDocument.Parse(await output.FirstLine);
        await body(card.RootElement);
        await stop.CancelAsync();
        Assert.Equal(0, await run.WaitAsync(_deadline.Token));
        return output.ToString();
    }

    [Fact]
    public async Task Runs_APNs_with_the_files_it_names_and_captures_what_comes()
    {
        await File.WriteAllTextAsync(At("script.json"), """{"tokens": {"dead": [{"status": 410, "reason": "Unregistered"}]}}""");
        string[] args = ["apns", "--topic", "app.marmot", "--script", At("script.json"), "--capture", At("capture.jsonl")];
        var output = await RunAsync(args, async card =>
        {
            using var authority = X509CertificateLoader.LoadCertificateFromFile(card.GetProperty("ca_file").GetString()!);
            using var client = new SimulatorClient(authority);
            var token = ProviderToken(File.ReadAllText(card.GetProperty("key_file").GetString()!), card.GetProperty("key_id").GetString()!,
                card.GetProperty("team_id").GetString()!, DateTimeOffset.UtcNow);
            var endpoint = new Uri(card.GetProperty("endpoint").GetString()!);
            foreach (var (device, topic, status) in ((string, string, int)[])[("aa", "app.marmot", 200), ("dead", "app.marmot", 410), ("aa", "app.other", 400)])
            {
                using var response = await client.Http.SendAsync(Push(endpoint, device, token, topic), _deadline.Token);
                Assert.Equal(status, (int)response.StatusCode);
            }
        });

        Assert.Contains("\"requests\":3,\"accepted\":1,\"devices\":2", output, StringComparison.Ordinal);
        var lines = (await File.ReadAllLinesAsync(At("capture.jsonl"))).Select(line => JsonSerializer.Deserialize<JsonElement>(line)).ToArray();
        Assert.Equal([200, 410, 400], lines.Select(line => line.GetProperty("status").GetInt32()));
        Assert.Equal("""{"aps":{"content-available":1}}""", lines[0].GetProperty("body").GetString());
        var authorization = lines[0].GetProperty("headers").EnumerateArray().Single(header => header[0].GetString() == "authorization")[1].GetString()!;
        Assert.EndsWith(".…", authorization, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Runs_FCM_with_a_service_account_file()
    {
        await RunAsync(["fcm", "--project", "my-project"], async card =>
        {
            using var authority = X509CertificateLoader.LoadCertificateFromFile(card.GetProperty("ca_file").GetString()!);
            using var client = new SimulatorClient(authority);
            var account = await File.ReadAllTextAsync(card.GetProperty("service_account_file").GetString()!);
            using var form =
                new FormUrlEncodedContent(
                    [new("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), new("assertion", Assertion(account, DateTimeOffset.UtcNow))]);
            using var response = await client.Http.PostAsync(new Uri(card.GetProperty("token_uri").GetString()!), form, _deadline.Token);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        });
    }

    [Fact]
    public async Task Keeps_its_authority_and_keys_from_run_to_run_and_to_itself()
    {
        string? ca = null, key = null;
        for (var run = 0; run < 2; run++)
        {
            await RunAsync(["apns"], card =>
            {
                var (caNow, keyNow) = (File.ReadAllText(card.GetProperty("ca_file").GetString()!), File.ReadAllText(card.GetProperty("key_file").GetString()!));
                if (ca is not null) Assert.Equal((ca, key), (caNow, keyNow));
                (ca, key) = (caNow, keyNow);
                return Task.CompletedTask;
            });
        }
        if (OperatingSystem.IsWindows()) return;
        foreach (var file in (string[])["ca-private.pem", "AuthKey_MARMOTKEY1.p8"])
        {
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(Path.Combine(At("credentials"), file)));
        }
    }

    [Fact]
    public async Task Makes_one_authority_when_many_start_on_one_folder_at_once()
    {
        var made = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            var folder = new CredentialFolder(At("shared"));
            using var authority = folder.LoadOrCreateAuthority([]);
            using var key = folder.LoadOrCreateApnsKey("MARMOTKEY1");
            return (authority.CaCertificatePem, key.ExportSubjectPublicKeyInfoPem());
        })));

        Assert.Single(made.Distinct());
        Assert.Equal(["AuthKey_MARMOTKEY1.p8", "ca-private.pem", "ca.pem"], Directory.GetFiles(At("shared")).Select(Path.GetFileName)
            .Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Takes_the_public_half_of_a_key_of_ones_own()
    {
        using var own = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        await File.WriteAllTextAsync(At("public.pem"), own.ExportSubjectPublicKeyInfoPem());
        await RunAsync(["apns", "--public-key", At("public.pem"), "--team", "ABCDE12345", "--key-id", "KEYID98765"], async card =>
        {
            using var authority = X509CertificateLoader.LoadCertificateFromFile(card.GetProperty("ca_file").GetString()!);
            using var client = new SimulatorClient(authority);
            var token = ProviderToken(own.ExportPkcs8PrivateKeyPem(), "KEYID98765", "ABCDE12345", DateTimeOffset.UtcNow);
            using var response = await client.Http.SendAsync(Push(new Uri(card.GetProperty("endpoint").GetString()!), "aa", token), _deadline.Token);
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        });
    }

    [Theory]
    [InlineData("", "say which: apns, fcm")]
    [InlineData("web", "unknown command 'web'")]
    [InlineData("apns --prot 1", "unknown option '--prot'; did you mean '--port'?")]
    [InlineData("apns --port", "Required argument missing for option: '--port'")]
    [InlineData("apns --port 70000", "--port: '70000'")]
    [InlineData("apns --project x", "unknown option '--project'")]
    [InlineData("fcm --topic x", "unknown option '--topic'")]
    [InlineData("apns --team short", "--team: 'short'")]
    [InlineData("apns --environment test", "--environment: production or sandbox")]
    [InlineData("apns --script /nowhere", "--script: no file")]
    [InlineData("fcm --listen here", "--listen: 'here'")]
    public async Task Says_what_is_wrong_with_the_command_line(string line, string mistake)
    {
        using var output = new StringWriter();
        using var error = new StringWriter();

        Assert.Equal(2, await SimAsync(line.Split(' ', StringSplitOptions.RemoveEmptyEntries), output, error, _deadline.Token));
        Assert.Contains(mistake, error.ToString(), StringComparison.Ordinal);
        Assert.Empty(output.ToString());
    }

    [Theory]
    [InlineData("""{"tokens": {"aa": [{"stauts": 410}]}}""", "stauts")]
    [InlineData("""{"tokens": {"aa": [{"status": 42}]}}""", "status 42")]
    [InlineData("""{"tokens": {"aa": [{"fault": "explode"}]}}""", "fault")]
    [InlineData("""{"tokens": {"aa": [{"times": 0}]}}""", "times 0")]
    [InlineData("""{""", "JSON")]
    public void Says_what_is_wrong_with_a_script(string text, string mistake)
    {
        Assert.False(ScriptFile.TryRead(text, out _, out var said));
        Assert.Contains(mistake, said, StringComparison.Ordinal);
    }

    [Fact]
    public void Reads_a_script()
    {
        Assert.True(ScriptFile.TryRead("""
            {
              // comments and a last comma are fine
              "tokens": { "aa": [{ "fault": "black-hole", "times": 2 }, { "status": 429, "reason": "TooManyRequests", "retryAfter": "9", "delayMs": 15 }], },
              "oauth": [{ "status": 503 }]
            }
            """, out var script, out _));
        var verdicts = script.Tokens["aa"].Select(entry => entry.ToVerdict()).ToArray();
        Assert.Equal(new SimulatedVerdict { Fault = SimulatedFault.BlackHole, Times = 2 }, verdicts[0]);
        Assert.Equal(new SimulatedVerdict { Status = 429, Reason = "TooManyRequests", RetryAfter = "9", Delay = TimeSpan.FromMilliseconds(15) }, verdicts[1]);
        Assert.Equal(503, script.OAuth.Single().Status);
    }

    private sealed class LineWriter : StringWriter
    {
        private readonly TaskCompletionSource<string> _first = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task<string> FirstLine => _first.Task;

        public override Task WriteLineAsync(string? value)
        {
            WriteLine(value);
            _first.TrySetResult(value ?? "");
            return Task.CompletedTask;
        }
    }
}
