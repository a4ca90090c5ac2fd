using System.Net;
using System.Text.Json;
using Marmot.Hosting.Admin;
using Marmot.Hosting.Health;
using Marmot.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace Marmot.Hosting.Tests.Admin;

public sealed class AdminServerTests : IAsyncLifetime
{
    private readonly ReadyPart _storage = new("storage");
    private readonly HttpClient _client = new();
    private WebApplication? _app;

    public async Task InitializeAsync()
    {
        var builder = MarmotHost.CreateBuilder(["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=http://127.0.0.1:0", "--Log:Level=Fatal"]);
        builder.Services.AddSingleton<IHealthPart>(_storage);
        builder.Services.AddSingleton<IHealthPart>(new ThrowingPart());
        _app = builder.Build();
        await _app.StartAsync();
        _client.BaseAddress = new Uri(_app.Services.GetRequiredService<AdminServer>().Addresses.First());
    }

    public async Task DisposeAsync()
    {
        _client.Dispose();
        await _app!.DisposeAsync();
    }

    [Fact]
    public async Task Readyz_names_each_part_and_a_part_that_throws_is_not_ready()
    {
        using var response = await _client.GetAsync(new Uri("/readyz", UriKind.Relative));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        using var json = JsonDocument.Parse(await response.Content.ReadAsStringAsync());
        Assert.False(json.RootElement.GetProperty("ready").GetBoolean());
        var parts = json.RootElement.GetProperty("parts");
        Assert.True(parts.GetProperty("storage").GetProperty("ready").GetBoolean());
        Assert.Equal("the check itself failed: InvalidOperationException", parts.GetProperty("broken").GetProperty("detail").GetString());
    }

    [Fact]
    public async Task Healthz_is_alive_whatever_the_parts_say() =>
        Assert.Equal("ok\n", await _client.GetStringAsync(new Uri("/healthz", UriKind.Relative)));

    [Fact]
    public async Task Metrics_are_prometheus_text()
    {
        using var response = await _client.GetAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Equal("text/plain", response.Content.Headers.ContentType?.MediaType);
    }

    [Fact]
    public async Task Metrics_tell_which_part_is_ready()
    {
        string metrics = await _client.GetStringAsync(new Uri("/metrics", UriKind.Relative));
        Assert.Contains("marmot_part_ready{part=\"storage\"} 1\n", metrics, StringComparison.Ordinal);
        Assert.Contains("marmot_part_ready{part=\"broken\"} 0\n", metrics, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_public_port_serves_none_of_it()
    {
        var address = new Uri(_app!.Urls.First());
        foreach (string path in new[] { "/healthz", "/readyz", "/metrics" })
        {
            using var response = await _client.GetAsync(new Uri(address, path));
            Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        }
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("127.0.0.1:8081", true)]
    [InlineData("[::1]", true)]
    [InlineData("admin.localhost:1", true)]
    [InlineData("evil.example", false)]
    [InlineData("127.0.0.1.evil.example", false)]
    [InlineData("192.0.2.1", false)]
    [InlineData("a..b", false)]
    [InlineData("xn--99999999", false)]
    public async Task Answers_to_loopback_names_only(string host, bool answers)
    {
        foreach (string path in new[] { "/healthz", "/readyz", "/metrics", "/", "/nothing" })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, path);
            request.Headers.TryAddWithoutValidation("Host", host);
            using var response = await _client.SendAsync(request);
            // The HTTP server itself refuses some.
            Assert.Equal(answers, response.StatusCode is not (HttpStatusCode.MisdirectedRequest or HttpStatusCode.BadRequest));
        }
    }

    [Fact]
    public async Task Answers_to_the_hosts_of_its_urls_and_to_the_address_it_was_reached_by()
    {
        int port = FreePort.Take(1)[0];
        var builder = MarmotHost.CreateBuilder(["--Public:Urls=http://127.0.0.1:0", $"--Admin:Urls=http://admin.example:{port}", "--Log:Level=Fatal"]);
        await using var app = builder.Build();
        await app.StartAsync();
        foreach (var (host, expected) in new[] { ($"admin.example:{port}", HttpStatusCode.OK), ("Admin.Example.", HttpStatusCode.OK),
            ("other.example", HttpStatusCode.MisdirectedRequest) })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"http://127.0.0.1:{port}/healthz");
            request.Headers.TryAddWithoutValidation("Host", host);
            using var response = await _client.SendAsync(request);
            Assert.Equal(expected, response.StatusCode);
        }
    }

    private sealed class ReadyPart(string name) : IHealthPart
    {
        public string Name => name;

        public HealthState Check() => HealthState.Ok;
    }

    private sealed class ThrowingPart : IHealthPart
    {
        public string Name => "broken";

        public HealthState Check() => throw new InvalidOperationException();
    }
}
