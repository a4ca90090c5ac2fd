using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using Marmot.Blossom.Endpoints;
using Marmot.Blossom.Refusals;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Endpoints;

/// <summary>What every answer has, whoever gives it: an endpoint, routing, or the HTTP server itself.</summary>
[Trait("Spec", "BUD-01")]
public sealed partial class AnswerTests
{
    [Theory]
    [InlineData("GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404)]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404)]
    [InlineData("PATCH /upload HTTP/1.1\r\nHost: x\r\n\r\n", 405)]
    [InlineData("POST /list/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405)]
    [InlineData("GET /{0} HTTP/1.1\r\nHost: x\r\n\r\n", 404)]
    [InlineData("nonsense\r\n\r\n", 400)]
    [InlineData("GET / HTTP/1.1\r\n\r\n", 400)]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)]
    [InlineData("GET / HTTP/3.7\r\nHost: x\r\n\r\n", 505)]
    [InlineData("GET /{1} HTTP/1.1\r\nHost: x\r\n\r\n", 414)]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\nA: {2}\r\n\r\n", 431)]
    [InlineData("PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400)]
    public async Task Every_refusal_has_CORS_and_a_reason(string request, int status)
    {
        await using var server = await BlossomServer.StartAsync();
        var answer = await AskAsync(server, request.Replace("{0}", new string('a', 64), StringComparison.Ordinal)
            .Replace("{1}", new string('a', 20_000), StringComparison.Ordinal).Replace("{2}", new string('a', 40_000), StringComparison.Ordinal));
        Assert.StartsWith($"HTTP/1.1 {status} ", answer, StringComparison.Ordinal);
        Assert.Contains("Access-Control-Allow-Origin: *\r\n", answer, StringComparison.Ordinal);
        Assert.Contains("Access-Control-Expose-Headers: X-Reason", answer, StringComparison.Ordinal);
        Assert.Matches(Reason(), answer);
    }

    [Theory]
    [InlineData("80000000")]
    [InlineData("ffffffff")]
    [InlineData("7fffffffffffffff")]
    [InlineData("10000000000000000000")]
    [InlineData("-1")]
    [InlineData("-80000000")]
    [InlineData("x")]
    [InlineData("")]
    [InlineData("0x10")]
    [InlineData("1g")]
    [Trait("Spec", "BUD-02")]
    public async Task A_chunk_size_that_is_none_is_400_with_a_reason_and_nothing_of_the_storage(string size)
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        foreach (var path in (string[])["/upload", "/mirror", "/report"])
        {
            var token = server.Token(key, BlossomVerb.Upload, BlossomServer.HashOf([1]));
            var answer = await AskAsync(server, $"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nabc");
            Assert.StartsWith("HTTP/1.1 400 ", answer, StringComparison.Ordinal);
            Assert.Matches(Reason(), answer);
            Assert.Contains("Access-Control-Allow-Origin: *\r\n", answer, StringComparison.Ordinal);
        }

        Assert.Empty(server.BlobFiles());
    }

    [Fact]
    public void No_reason_holds_what_the_MDK_drops()
    {
        var fixedOnes = typeof(Refusal).GetProperties(BindingFlags.Public | BindingFlags.Static).Select(property => ((Refusal)property.GetValue(null)!).Reason);
        var ofTokens = Enum.GetValues<BlossomAuthVerdict>().Select(BlossomAuth.Describe);
        var inSource = Directory.EnumerateFiles(Path.Combine(SourceRoot, "src", "Blossom"), "*.cs", SearchOption.AllDirectories)
            .Where(path => !path.Contains("/obj/", StringComparison.Ordinal))
            .SelectMany(path => Construction().Matches(File.ReadAllText(path)).Select(match => match.Groups["reason"].Value)).ToList();
        Assert.True(inSource.Count > 20, "the pattern finds the reasons in the source");
        foreach (var reason in fixedOnes.Concat(ofTokens).Concat(inSource))
        {
            Assert.DoesNotContain("://", reason, StringComparison.Ordinal);
            Assert.True(reason.Length <= 256 && reason.All(letter => letter is >= ' ' and <= '~'), reason);
        }
    }

    [Theory]
    [InlineData("soon")]
    [InlineData("1.5e10")]
    [InlineData("")]
    [InlineData("-1")]
    [InlineData("99999999999999999999")]
    [Trait("Spec", "BUD-11")]
    [Trait("Clock", "Date")]
    public async Task An_expiration_that_is_no_integer_is_refused_by_name(string expiration)
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        var evt = Marmot.Protocol.Events.NostrEvent.Create(
            key, BlossomAuth.Kind, [["t", "upload"], ["x", BlossomServer.HashOf([1]).ToString()], ["expiration", expiration]], "", server.Clock.GetUtcNow()
                .ToUnixTimeSeconds());
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent([1]) };
        request.Headers.TryAddWithoutValidation("Authorization", "Nostr " + Convert.ToBase64String(evt.Json.Span));
        using var answer = await server.Http.SendAsync(request);
        Assert.Equal(HttpStatusCode.Unauthorized, answer.StatusCode);
        Assert.Contains("expiration", answer.Header("X-Reason"), StringComparison.Ordinal);
        Assert.Contains("integer", answer.Header("X-Reason"), StringComparison.Ordinal);
    }

    private static string SourceRoot
    {
        get
        {
            var folder = AppContext.BaseDirectory;
            while (!File.Exists(Path.Combine(folder, "marmot-server.sln")))
            {
                folder = Path.GetDirectoryName(folder)!;
            }

            return folder;
        }
    }

    private static async Task<string> AskAsync(BlossomServer server, string request)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(server.Address.Host, server.Address.Port);
        var stream = client.GetStream();
        await stream.WriteAsync(Encoding.ASCII.GetBytes(request));
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        var answer = "";
        var buffer = new byte[4096];
        while (!answer.Contains("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(buffer, deadline.Token) is > 0 and var read)
        {
            answer += Encoding.ASCII.GetString(buffer, 0, read);
        }

        return answer;
    }

    [GeneratedRegex("X-Reason: [ -~]{1,256}\r\n")]
    private static partial Regex Reason();

    // new Refusal(status, "code", "reason"), Refusal.BadRequest("code", "reason"), Refusal.Origin("reason"), Refusal.BadToken("reason"), => "reason" of
    // ServerRefusals
    [GeneratedRegex(
        """(?:new\(|new Refusal\(|Refusal\.BadRequest\(|Refusal\.Origin\(|Refusal\.BadToken\()"""
        + """(?:[\w.]+,\s+)?(?:"\w+",\s+)?\$?"(?<reason>(?:[^"\\]|\\.)*)"|_? => "(?<reason>[^"]*)",""")]
    private static partial Regex Construction();
}
