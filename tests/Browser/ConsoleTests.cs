using System.Net;
using System.Net.WebSockets;
using System.Security.Cryptography;
using System.Text;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.TestKit;

namespace Marmot.Browser;

/// <summary>Every page and action of the console and the public page in a real browser: phone and desktop, light and dark, by keyboard, without scripts.
/// Screenshots go to
/// <c>artifacts/screenshots</c>.</summary>
public sealed class ConsoleTests : IAsyncLifetime
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static readonly string Folder = Path.Combine(MarmotServerProcess.RepositoryRoot, "tests", "Browser");
    private readonly TemporaryFolder _data = new();
    private readonly SecretKey _admin = SecretKey.Generate();
    private readonly SecretKey _author = SecretKey.Generate();
    private readonly byte[] _blob = RandomNumberGenerator.GetBytes(3000);
    private MarmotServerProcess? _server;
    private NostrEvent? _event;

    private MarmotServerProcess Server => _server ?? throw new InvalidOperationException("not started");

    public async Task InitializeAsync()
    {
        _server = await MarmotServerProcess.StartAsync(
            "all", _data.File("data"), "--Blossom:Profile=General", $"--Relay:Admins:0={_admin.PublicKey}", "--Relay:Name=Sky <i>Relay</i>",
                "--Relay:Contact=mailto:op@example.org",
            "--Public:PolicyUrl=https://example.org/policy");
        _event = NostrEvent.Create(_author, 1, [], "<script>alert(1)</script>", DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        using var relay = new ClientWebSocket();
        await relay.ConnectAsync(Server.RelayUrl, CancellationToken.None);
        await relay.SendAsync(Encoding.UTF8.GetBytes($"[\"EVENT\",{Encoding.UTF8.GetString(_event.Json.Span)}]"), WebSocketMessageType.Text, true,
            CancellationToken.None);
        var answer = new byte[1000];
        var received = await relay.ReceiveAsync(answer, CancellationToken.None);
        Assert.Contains("true", Encoding.UTF8.GetString(answer, 0, received.Count), StringComparison.Ordinal);

        using var http = new HttpClient { BaseAddress = Server.HttpUrl };
        using var upload = new HttpRequestMessage(HttpMethod.Put, "upload") { Content = new ByteArrayContent(_blob) };
        var hash = new Bytes32(SHA256.HashData(_blob));
        upload.Headers.TryAddWithoutValidation(
            "Authorization", BlossomAuth.CreateHeader(_author, BlossomVerb.Upload, [hash], null, DateTimeOffset.UtcNow, TimeSpan.FromMinutes(5)));
        (await http.SendAsync(upload)).EnsureSuccessStatusCode().Dispose();
    }

    public async Task DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.StopAsync();
            await _server.DisposeAsync();
        }

        _admin.Dispose();
        _author.Dispose();
        _data.Dispose();
    }

    [Theory]
    [InlineData("overview")]
    [InlineData("reading_without_script")]
    [InlineData("pages_of_who_has_logged_in")]
    [InlineData("moderation")]
    [InlineData("login_with_an_extension")]
    [InlineData("keyboard")]
    [InlineData("doctor")]
    [InlineData("public_page")]
    public async Task Holds_in_a_real_browser(string scenario)
    {
        var browser = new[] { "/usr/bin/chromium", "/usr/bin/chromium-browser" }.FirstOrDefault(File.Exists);
        Assert.True(browser is not null, "Debian's Chromium is not installed: apt-get install chromium, or ./test");
        Assert.True(Directory.Exists(Path.Combine(Folder, "node_modules")), "the browser's driver is not installed: run 'npm ci' in tests/Browser, or ./test");
        var secret = new byte[32];
        _admin.CopyTo(secret);
        var environment = new Dictionary<string, string>
        {
            ["ADMIN_URL"] = Server.AdminUrl.ToString(),
            ["PUBLIC_URL"] = Server.HttpUrl.ToString(),
            ["LOGIN_URL"] = await CreateLinkAsync(),
            ["ADMIN_SECRET"] = Convert.ToHexStringLower(secret),
            ["EVENT_ID"] = _event!.Id.ToString(),
            ["AUTHOR"] = Nip19.EncodePublicKey(_author.PublicKey),
            ["BLOB"] = Convert.ToHexStringLower(SHA256.HashData(_blob)),
            ["SHOTS"] = Path.Combine(MarmotServerProcess.RepositoryRoot, "artifacts", "screenshots"),
            ["CHROMIUM"] = browser!,
        };
        await using var node = ChildProcess.Start("node", ["console.mjs", scenario], Folder, environment);
        var exitCode = await node.WaitForExitAsync(Patience);
        Assert.True(exitCode == 0, $"{scenario} ended with {exitCode}:\n{node.Output}\nthe server wrote:\n{Server.Output}");
    }

    /// <summary>What a page of a stranger could have an administrator's browser send.</summary>
    [Fact]
    public async Task Acts_for_its_own_pages_only()
    {
        using var handler = new HttpClientHandler { AllowAutoRedirect = false, CheckCertificateRevocationList = true };
        using var http = new HttpClient(handler) { BaseAddress = Server.AdminUrl };
        var code = new Uri(await CreateLinkAsync()).Query[6..];
        using var login = await http.PostAsync("login", Form(("code", code)));
        Assert.Equal(HttpStatusCode.SeeOther, login.StatusCode);
        var cookie = login.Headers.GetValues("Set-Cookie").Single();
        Assert.Contains("httponly", cookie, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("samesite=strict", cookie, StringComparison.OrdinalIgnoreCase);
        var page = await http.GetStringAsync("moderation");
        var csrf = page.Split("name=\"csrf\" value=\"")[1].Split('"')[0];
        (string, string)[] ban = [("action", "block-address"), ("target", "192.0.2.1")];

        Assert.Equal(HttpStatusCode.Forbidden, await PostAsync(http, null, Form(ban)));
        Assert.Equal(HttpStatusCode.Forbidden, await PostAsync(http, null, Form([.. ban, ("csrf", "wrong")])));
        Assert.Equal(HttpStatusCode.Forbidden, await PostAsync(http, "http://evil.example", Form([.. ban, ("csrf", csrf)])));
        Assert.DoesNotContain("192.0.2.1", await http.GetStringAsync("moderation"), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.SeeOther, await PostAsync(http, Server.AdminUrl.GetLeftPart(UriPartial.Authority), Form([.. ban, ("csrf", csrf)])));
        Assert.Contains("192.0.2.1", await http.GetStringAsync("moderation"), StringComparison.Ordinal);

        // Nobody's cookie, somebody else's name for this machine.
        using var stranger = new HttpClient { BaseAddress = Server.AdminUrl };
        Assert.Equal(HttpStatusCode.Unauthorized, (await stranger.GetAsync("moderation")).StatusCode);
        using var rebound = new HttpRequestMessage(HttpMethod.Get, Server.AdminUrl);
        rebound.Headers.Host = "evil.example";
        Assert.Equal(HttpStatusCode.MisdirectedRequest, (await stranger.SendAsync(rebound)).StatusCode);

        // The policy names no other origin and allows nothing inline.
        using var first = await stranger.GetAsync("");
        var policy = first.Headers.GetValues("Content-Security-Policy").Single();
        Assert.DoesNotContain("unsafe", policy, StringComparison.Ordinal);
        Assert.DoesNotContain("http", policy, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_login_signed_by_another_key_or_used_before_is_refused()
    {
        using var http = new HttpClient { BaseAddress = Server.AdminUrl };
        var nonce = await NonceAsync(http);
        using var stranger = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.Forbidden, await SignInAsync(http, stranger, nonce, nonce));
        Assert.Equal(HttpStatusCode.Forbidden, await SignInAsync(http, _admin, nonce, await NonceAsync(http))); // signed for another nonce
        Assert.Equal(HttpStatusCode.OK, await SignInAsync(http, _admin, nonce, nonce));
        Assert.Equal(HttpStatusCode.Forbidden, await SignInAsync(http, _admin, nonce, nonce));
        Assert.Equal(HttpStatusCode.Forbidden, await SignInAsync(http, _admin, new string('0', 64), new string('0', 64)));
    }

    private static async Task<string> NonceAsync(HttpClient http) => (await http.GetStringAsync("login")).Split("data-nonce=\"")[1].Split('"')[0];

    private async Task<HttpStatusCode> SignInAsync(HttpClient http, SecretKey key, string signed, string sent)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, $"login?nonce={sent}");
        request.Headers.TryAddWithoutValidation("Authorization",
            HttpAuth.CreateHeader(key, "POST", new Uri(Server.AdminUrl, $"login?nonce={signed}"), [], DateTimeOffset.UtcNow));
        return (await http.SendAsync(request)).StatusCode;
    }

    private static async Task<HttpStatusCode> PostAsync(HttpClient http, string? origin, HttpContent form)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, "moderation") { Content = form };
        if (origin is not null)
        {
            request.Headers.TryAddWithoutValidation("Origin", origin);
        }

        return (await http.SendAsync(request)).StatusCode;
    }

    private static FormUrlEncodedContent Form(params (string Name, string Value)[] fields) =>
        new(fields.Select(field => KeyValuePair.Create(field.Name, field.Value)));

    private async Task<string> CreateLinkAsync()
    {
        var (exitCode, output) = await RunAsync("console", "login", $"--Storage:DataDirectory={_data.File("data")}",
            $"--Admin:Urls={Server.AdminUrl.ToString().TrimEnd('/')}");
        Assert.Equal(0, exitCode);
        return output.Trim();
    }

    private static async Task<(int ExitCode, string Output)> RunAsync(params string[] args)
    {
        var configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            ? "Release" : "Debug";
        var program = Path.Combine(MarmotServerProcess.RepositoryRoot, "src", "AllInOne", "bin", configuration, "net10.0", "marmot-server.dll");
        await using var process = ChildProcess.Start("dotnet", [program, .. args]);
        return (await process.WaitForExitAsync(Patience), process.Output);
    }
}
