using Marmot.Hosting.Settings;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Tests;

public class TrustedProxiesTests
{
    [Theory]
    [InlineData("127.0.0.1", "203.0.113.7", "203.0.113.7")] // a proxy on this machine
    [InlineData("10.4.5.6", "203.0.113.7", "203.0.113.7")] // a trusted one
    [InlineData("10.4.5.6", "198.51.100.1, 203.0.113.7", "203.0.113.7")] // what the caller wrote itself stays unread
    [InlineData("10.4.5.6", "203.0.113.7, 10.9.9.9", "203.0.113.7")] // two of ours in a row
    [InlineData("192.0.2.1", "203.0.113.7", "192.0.2.1")] // a stranger
    [InlineData("10.4.5.6", null, "10.4.5.6")]
    [InlineData("10.4.5.6", "nonsense", "10.4.5.6")]
    [InlineData("10.4.5.6", "203.0.113.7, nonsense", "10.4.5.6")]
    [InlineData("10.4.5.6", "203.0.113.7, ", "10.4.5.6")]
    [InlineData("10.4.5.6", "203.0.113.7:4711", "203.0.113.7")] // some proxies write the port
    [InlineData("10.4.5.6", "[2001:db8:9::7]:4711", "2001:db8:9::7")]
    [InlineData("::ffff:10.4.5.6", "::ffff:203.0.113.7", "203.0.113.7")]
    public async Task The_address_of_a_caller_is_taken_from_trusted_proxies_only(string connection, string? forwardedFor, string expected) =>
        Assert.Equal(expected, await AddressSeenAsync(connection, context => context.Request.Headers["X-Forwarded-For"] = forwardedFor));

    [Fact]
    public async Task Host_and_scheme_are_never_taken_from_headers()
    {
        string seen = "";
        await AddressSeenAsync("10.4.5.6", context =>
        {
            context.Request.Host = new HostString("relay.example.org");
            context.Request.Scheme = "http";
            context.Request.Headers["X-Forwarded-Host"] = "evil.example.org";
            context.Request.Headers["X-Forwarded-Proto"] = "https";
        }, context => seen = $"{context.Request.Scheme}://{context.Request.Host}");
        Assert.Equal("http://relay.example.org", seen);
    }

    [Theory]
    [InlineData("10.4.5.6", "https", "media.example.org", "https://media.example.org")]
    [InlineData("::ffff:10.4.5.6", "https", null, "https://relay.example.org:8080")]
    [InlineData("2001:db8::1", "http", null, "http://relay.example.org:8080")]
    [InlineData("192.0.2.1", "https", "media.example.org", null)] // a stranger
    [InlineData("10.4.5.6", "javascript", null, null)]
    [InlineData("10.4.5.6", "https", "a..b", null)]
    [InlineData("10.4.5.6", "https", "foo:99999", null)]
    public async Task For_urls_a_trusted_proxy_tells_scheme_and_host(string connection, string scheme, string? host, string? expected)
    {
        ForwardedOrigin? seen = null;
        await AddressSeenAsync(connection, context =>
        {
            context.Request.Host = new HostString("relay.example.org:8080");
            context.Request.Headers["X-Forwarded-For"] = "203.0.113.7";
            context.Request.Headers["X-Forwarded-Host"] = host;
            context.Request.Headers["X-Forwarded-Proto"] = scheme;
        }, context => seen = context.Features.Get<ForwardedOrigin>());
        Assert.Equal(expected, seen is null ? null : $"{seen.Scheme}://{seen.Host}");
    }

    [Fact]
    public void A_value_that_is_no_network_is_named_at_the_start()
    {
        var builder = MarmotHost.CreateBuilder(["--Public:TrustedProxies=10.0.0.0/8;proxy.local", "--Admin:Urls=", "--Log:Level=Fatal"]);
        using var app = (IDisposable)builder.Build();
        var services = ((WebApplication)app).Services;
        var error = Assert.Throws<OptionsValidationException>(() => services.GetRequiredService<IOptions<PublicOptions>>().Value);
        Assert.Contains("proxy.local", error.Message, StringComparison.Ordinal);
    }

    private static async Task<string> AddressSeenAsync(string connection, Action<HttpContext> prepare, Action<HttpContext>? look = null)
    {
        await using var services = new ServiceCollection().AddLogging().BuildServiceProvider();
        var pipeline = new ApplicationBuilder(services);
        var filter = new TrustedProxies(Options.Create(new PublicOptions { TrustedProxies = "10.0.0.0/8; 2001:db8::1" }));
        ((IStartupFilter)filter).Configure(app => app.Run(context =>
        {
            look?.Invoke(context);
            return Task.CompletedTask;
        }))(pipeline);
        var context = new DefaultHttpContext { RequestServices = services };
        context.Connection.RemoteIpAddress = System.Net.IPAddress.Parse(connection);
        prepare(context);
        await pipeline.Build()(context);
        return context.Connection.RemoteIpAddress!.ToString();
    }
}
