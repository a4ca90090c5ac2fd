using System.Runtime.Versioning;
using System.Text;
using System.Text.Json;
using Marmot.NotifyServer.Apps;
using Marmot.NotifyServer.Providers;
using Marmot.ProviderSimulators;
using Marmot.NotifyServer.Tests.Support;
using Marmot.Platform.Files;
using Marmot.Protocol.Keys;
using Marmot.Protocol.Push;
using Marmot.TestKit;

namespace Marmot.NotifyServer.Tests.Cases;

/// <summary>Cases 67 to 70: what the process writes, and what it must never write.</summary>
[UnsupportedOSPlatform("windows")]
public sealed class SecretCases : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    [Fact]
    public async Task Cases_67_and_70_a_run_at_trace_level_writes_no_token_no_plaintext_no_key_and_changes_no_file()
    {
        await using var relay = await TestRelay.StartAsync(ChallengeManner.OnConnect);
        await using var providers = await SimulatedProviders.StartAsync();
        using var key = SecretKey.Generate();
        var secret = new byte[32];
        key.CopyTo(secret);
        var options = RunningServer.CreateOptions(_folder.Path, providers, [relay.Url], Convert.ToHexStringLower(secret));
        options.CanaryInterval = TimeSpan.FromSeconds(1);
        options.ReloadInterval = TimeSpan.FromSeconds(1);
        options.ProviderTimeout = TimeSpan.FromSeconds(2);
        var (process, admin) = await ServerProgram.StartNotifyAsync(_folder.Path, options, "--Log:Level=Verbose");
        await using var _ = process;
        using var __ = admin;
        await relay.SubscribedAsync();
        await ServerProgram.PollAsync(process, async () => (await admin.GetAsync(new Uri("readyz", UriKind.Relative))).IsSuccessStatusCode);
        var before = Snapshot();

        // 1. Everything that can happen to a token: taken, dead, foreign, refused, busy, broken, unanswered, implausible, garbage.
        byte[] ApnsToken(byte n) => [0xA7, n, .. Encoding.ASCII.GetBytes("apns-device-token-secret")];
        string FcmToken(string n) => "fcm-device-token-secret:" + n;
        Script(1, SimulatedVerdict.Of(410, "Unregistered"));
        Script(2, SimulatedVerdict.Of(400, "DeviceTokenNotForTopic"));
        Script(3, SimulatedVerdict.Of(418, "Teapot"));
        Script(4, new SimulatedVerdict { Status = 429, Reason = "TooManyRequests", Times = 1 });
        Script(5, new SimulatedVerdict { Fault = SimulatedFault.ResetStream, Times = 1 });
        Script(6, new SimulatedVerdict { Fault = SimulatedFault.LostAnswer });
        providers.Fcm.Script(FcmToken("bad"), SimulatedVerdict.Of(404, "UNREGISTERED"));
        List<(DevicePlatform, byte[])> devices =
        [
            .. Enumerable.Range(0, 7).Select(n => (DevicePlatform.Apns, ApnsToken((byte)n))),
            (DevicePlatform.Fcm, Encoding.ASCII.GetBytes(FcmToken("good"))),
            (DevicePlatform.Fcm, Encoding.ASCII.GetBytes(FcmToken("bad"))),
            (DevicePlatform.Fcm, Encoding.ASCII.GetBytes("fcm device token secret with blanks")),
        ];
        var trigger = TestTrigger.Create(key.PublicKey, TokenDialect.MarmotPushV1, devices, TimeProvider.System);
        await relay.SendAsync(trigger);
        await relay.SendAsync(Forge.Request(key.PublicKey, "!!!!" + Convert.ToBase64String(new byte[1081]), ["v", "marmot-push-v1"]));
        using (var stranger = SecretKey.Generate())
        {
            await relay.SendAsync(Forge.Wrap(key.PublicKey, stranger, Convert.ToBase64String(new byte[300])));
        }

        await ServerProgram.PollAsync(process, async () =>
        {
            var metrics = await admin.GetStringAsync(new Uri("metrics", UriKind.Relative));
            return metrics.Contains("end=\"uncertain\"", StringComparison.Ordinal) && metrics.Contains("outcome=\"arrived\"", StringComparison.Ordinal);
        });

        // 2. A reload with a broken credential, whose text must not be shown either.
        RunningServer.Secret(_folder.Path, "apns.p8", "-----BEGIN PRIVATE KEY-----\nsecret-of-a-broken-file\n-----END PRIVATE KEY-----\n");
        process.HangUp();
        await process.WritesAsync("not taken over");
        RunningServer.Secret(_folder.Path, "apns.p8", providers.Apns.PrivateKeyPem!);

        // 3. All that it wrote.
        var written = new StringBuilder();
        foreach (var page in new[] { "metrics", "readyz", "" })
        {
            written.Append(await (await admin.GetAsync(new Uri(page, UriKind.Relative))).Content.ReadAsStringAsync());
        }

        process.Terminate();
        Assert.Equal(0, await process.WaitForExitAsync(TimeSpan.FromSeconds(30)));
        written.Append(process.Output);
        var text = written.ToString();

        // 4. None of it in there, in no spelling.
        using var account = JsonDocument.Parse(providers.Fcm.ServiceAccountJson);
        List<string> secrets =
        [
            Convert.ToHexStringLower(secret), Protocol.Encoding.Nip19.EncodeSecretKey(secret), Convert.ToBase64String(secret),
            .. Lines(providers.Apns.PrivateKeyPem!), .. Lines(account.RootElement.GetProperty("private_key").GetString()!),
            "secret-of-a-broken-file", "ya29.", "eyJ", "device-token-secret", "device token secret", "bearer ", "Bearer ",
            trigger.Content[..64], trigger.Content[100..164], trigger.Id.ToString(), trigger.PublicKey.ToString(),
        ];
        foreach (var (_, token) in devices)
        {
            secrets.AddRange([Convert.ToHexStringLower(token), Convert.ToHexString(token), Convert.ToBase64String(token)[..20]]);
        }

        Assert.All(secrets, hidden => Assert.DoesNotContain(hidden, text, StringComparison.OrdinalIgnoreCase));
        Assert.Contains("listening as", text, StringComparison.Ordinal); // it did write

        // 5. No file was changed, made or removed but the one the test itself rewrote.
        Assert.Equal(before.Where(file => file.Name != "apns.p8"), Snapshot().Where(file => file.Name != "apns.p8"));

        void Script(byte n, SimulatedVerdict verdict) => providers.Apns.Script(Convert.ToHexStringLower(ApnsToken(n)), verdict);

        static IEnumerable<string> Lines(string pem) =>
            pem.Split('\n').Where(line => line.Length > 20 && !line.StartsWith("-----", StringComparison.Ordinal)).Select(line => line[..20]);
    }

    [Fact]
    public void Case_68_a_link_to_a_key_that_others_may_read_is_refused_and_one_to_a_good_key_is_not()
    {
        var target = Path.Combine(_folder.Path, "target.key");
        Assert.True(KeyFile.TryCreate(target, out var made));
        var link = Path.Combine(_folder.Path, "link.key");
        File.CreateSymbolicLink(link, target);
        using (var key = KeyFile.Load(link))
        {
            Assert.Equal(made, key.PublicKey);
        }

        File.SetUnixFileMode(target, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
        Assert.Throws<InvalidDataException>(() => KeyFile.Load(link));
        foreach (var name in new[] { "apns.p8", "fcm.json" })
        {
            var path = Path.Combine(_folder.Path, name);
            File.WriteAllText(path, "x");
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.GroupRead);
            Assert.Throws<InvalidDataException>(() => SecretFile.ReadText(path));
        }
    }

    [Theory]
    [InlineData("{\"project_id\":\"p\",\"client_email\":\"secret-text\",\"private_key\":\"secret-text\"")]
    [InlineData("{\"project_id\":\"p\",\"client_email\":\"secret-text\",\"private_key\":\"secret-text\",\"private_key_id\":\"secret-text\"}")]
    [InlineData("secret-text")]
    public void Case_69_an_error_about_a_credential_file_does_not_quote_it(string content)
    {
        RunningServer.Secret(_folder.Path, "bad", content);
        var path = Path.Combine(_folder.Path, "bad");
        var account = Assert.Throws<InvalidDataException>(() => ServiceAccount.Load(path));
        Assert.DoesNotContain("secret-text", account.ToString(), StringComparison.Ordinal);
        var apns = Assert.Throws<InvalidDataException>(() =>
            ApnsProvider.Create(new ApnsOptions { KeyFile = path }, "", TimeSpan.FromSeconds(1), Clock.Running()));
        Assert.DoesNotContain("secret-text", apns.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Case_69_an_error_in_the_settings_file_does_not_quote_it()
    {
        var path = Path.Combine(_folder.Path, "settings.json");
        await File.WriteAllTextAsync(path, "{\"Notify\":{\"Relays\":[\"secret-text\"}");
        await using var process = ServerProgram.Start("notify", "--config=" + path);
        Assert.NotEqual(0, await process.WaitForExitAsync(TimeSpan.FromSeconds(60)));
        Assert.DoesNotContain("secret-text", process.Output, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private (string Name, long Length, DateTime Written)[] Snapshot() =>
        [
            .. new DirectoryInfo(_folder.Path).EnumerateFiles("*", SearchOption.AllDirectories).Select(file => (file.Name, file.Length, file.LastWriteTimeUtc))
                .OrderBy(file => file.Name, StringComparer.Ordinal)
        ];
}
