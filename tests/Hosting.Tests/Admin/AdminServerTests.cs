using System.Net;
using System.Text.Json;
using Marmot.Hosting.Admin;
using Marmot.Hosting.Health;
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
