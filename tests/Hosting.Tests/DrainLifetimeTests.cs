using System.Net;
using Marmot.Hosting.Admin;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Marmot.Hosting.Tests;

public sealed class DrainLifetimeTests
{
    [Fact]
    public async Task Told_to_stop_it_is_not_ready_at_once_but_goes_on_serving_for_the_delay()
    {
        await using var app = await StartAsync("00:01:00");
        var (ready, _) = await AskAsync(app, "/readyz");
        Assert.Equal(HttpStatusCode.OK, ready);

        app.Services.GetRequiredService<DrainLifetime>().Stop(atOnce: false);

        var (afterwards, page) = await AskAsync(app, "/readyz");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, afterwards);
        Assert.Contains("stopping", page, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(app, "/healthz")).Status);
        Assert.False(app.Lifetime.ApplicationStopping.IsCancellationRequested);
    }

    [Theory]
    [InlineData("00:00:00", false)]
    [InlineData("00:01:00", true)]
    public async Task Without_a_delay_and_on_ctrl_c_it_stops_at_once(string delay, bool atOnce)
    {
        await using var app = await StartAsync(delay);
        app.Services.GetRequiredService<DrainLifetime>().Stop(atOnce);
        Assert.True(app.Lifetime.ApplicationStopping.IsCancellationRequested);
    }

    private static async Task<WebApplication> StartAsync(string delay)
    {
        var builder = MarmotHost.CreateBuilder(
            ["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=http://127.0.0.1:0", "--Log:Level=Fatal", $"--Public:DrainDelay={delay}"]);
        var app = builder.Build();
        await app.StartAsync();
        return app;
    }

    private static async Task<(HttpStatusCode Status, string Page)> AskAsync(WebApplication app, string path)
    {
        using var client = new HttpClient { BaseAddress = new Uri(app.Services.GetRequiredService<AdminServer>().Addresses.First()) };
        using var response = await client.GetAsync(new Uri(path, UriKind.Relative));
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}
