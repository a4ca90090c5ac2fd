using System.Net;
using System.Text;
using System.Text.Json;
using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;

namespace Marmot.Blossom.Tests.Endpoints;

[Trait("Spec", "BUD-09")]
public sealed class ReportTests
{
    private const int ReportKind = 1984;
    private static readonly string Hash = BlossomServer.HashOf([1, 2, 3]).ToString();

    [Fact]
    public async Task A_signed_report_reaches_the_operators_file_and_changes_nothing_by_itself()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        using var up = await server.UploadAsync(key, [1, 2, 3]);
        var reports = new[] { Report(key, ReportKind, ["x", Hash, "malware"]),
            Report(key, ReportKind, ["x", Hash, "illegal"], ["p", key.PublicKey.ToString()]) };
        foreach (var report in reports)
        {
            using var answer = await SendAsync(server, report);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.Equal("*", answer.Header("Access-Control-Allow-Origin"));
        }

        var lines = await File.ReadAllLinesAsync(Path.Combine(server.Folder, "blossom", "reports.jsonl"));
        Assert.Equal(reports.Select(IdOf), lines.Select(IdOf));
        Assert.Equal(HttpStatusCode.OK, (await server.SendAsync(HttpMethod.Get, $"/{Hash}")).StatusCode);
    }

    [Fact]
    public async Task A_report_that_is_none_is_400_with_a_reason_and_is_not_kept()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General");
        using var key = SecretKey.Generate();
        var good = Report(key, ReportKind, ["x", Hash]);
        foreach (var body in (string[])
        [
            "", "null", "[]", "{", "{}", Report(key, 1, ["x", Hash]), Report(key, ReportKind, ["e", Hash]), Report(key, ReportKind, ["x", "beef"]),
            Report(key, ReportKind, ["x"]),
            good.Replace("spam", "ham!", StringComparison.Ordinal), // signed for another text
        ])
        {
            using var answer = await SendAsync(server, body);
            Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
            Assert.Contains("kind 1984", answer.Header("X-Reason"), StringComparison.Ordinal);
        }

        Assert.False(File.Exists(Path.Combine(server.Folder, "blossom", "reports.jsonl")));
    }

    [Fact]
    public async Task A_flood_of_reports_meets_its_limits()
    {
        await using var server = await BlossomServer.StartAsync("--Blossom:Profile=General", "--Blossom:LimitLoopback=true", "--Blossom:UploadBurst=2",
            "--Blossom:UploadsPerMinute=1");
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.RequestEntityTooLarge, (await SendAsync(server, new string(' ', 70_000))).StatusCode);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(server, Report(key, ReportKind, ["x", Hash]))).StatusCode);
        using var answer = await SendAsync(server, Report(key, ReportKind, ["x", Hash]));
        Assert.Equal(HttpStatusCode.TooManyRequests, answer.StatusCode);
        Assert.NotNull(answer.Header("Retry-After"));
    }

    [Fact]
    public async Task A_private_server_takes_no_reports()
    {
        await using var server = await BlossomServer.StartAsync();
        using var key = SecretKey.Generate();
        Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(server, Report(key, ReportKind, ["x", Hash]))).StatusCode);
    }

    private static string Report(SecretKey key, int kind, params string[][] tags) =>
        Encoding.UTF8.GetString(NostrEvent.Create(key, kind, tags, "spam", 1_700_000_000).Json.Span);

    private static string? IdOf(string report)
    {
        using var json = JsonDocument.Parse(report);
        return json.RootElement.GetProperty("id").GetString();
    }

    private static async Task<HttpResponseMessage> SendAsync(BlossomServer server, string body)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/report") { Content = new StringContent(body, Encoding.UTF8, "application/json") };
        return await server.Http.SendAsync(request);
    }
}
