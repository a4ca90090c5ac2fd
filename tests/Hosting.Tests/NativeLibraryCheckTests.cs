using Marmot.Platform.Native;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace Marmot.Hosting.Tests;

/// <summary>A native library that is missing or broken stops the start, of every server alike, before anything listens.</summary>
public class NativeLibraryCheckTests
{
    public static TheoryData<string, string> Faults => new()
    {
        { "missing", "sodium was not found (tried libsodium.so.23)" },
        { "an entry point is missing", "the native library sodium is broken or too old (no crypto_aead here). " },
        { "no library at all", "the native library sodium is broken or too old (invalid ELF header). " },
        { "wrong answers", "the native library sodium is broken or too old (its answers are wrong). " },
        { "a static constructor failed", "sodium was not found (tried libsodium.so.23)" },
    };

    [Theory]
    [MemberData(nameof(Faults))]
    public async Task A_library_that_is_missing_or_broken_stops_the_start_with_the_package_to_install(string fault, string expected)
    {
        var started = new Started();
        await using var app = Build(builder =>
        {
            builder.Services.AddSingleton(new NativeProbe(NativeLibraries.Sodium, () => throw Fault(fault)));
            builder.Services.AddHostedService(_ => started);
        });

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(() => app.StartAsync());
        Assert.StartsWith(expected, refusal.Message, StringComparison.Ordinal);
        Assert.Contains("libsodium23", refusal.Message, StringComparison.Ordinal);
        Assert.False(started.IsStarted); // neither a role nor the public port
    }

    [Fact]
    public async Task With_its_libraries_a_server_starts()
    {
        var started = new Started();
        await using var app = Build(builder => builder.Services.AddHostedService(_ => started));
        Assert.Equal([NativeLibraries.Secp256k1, NativeLibraries.Sodium], app.Services.GetServices<NativeProbe>().Select(probe => probe.Library));
        await app.StartAsync();
        Assert.True(started.IsStarted);
        Assert.NotEmpty(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses);
        await app.StopAsync();
    }

    private static WebApplication Build(Action<WebApplicationBuilder> configure)
    {
        var builder = MarmotHost.CreateBuilder(["--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", "--Log:Level=Fatal"]);
        configure(builder);
        return builder.Build();
    }

    private static Exception Fault(string fault) => fault switch
    {
        "missing" => new DllNotFoundException("sodium was not found (tried libsodium.so.23). Install it: `apt-get install libsodium23`."),
        "an entry point is missing" => new EntryPointNotFoundException("no crypto_aead here"),
        "no library at all" => new BadImageFormatException("invalid ELF header"),
        "wrong answers" => new System.Security.Cryptography.CryptographicException("its answers are wrong"),
        _ => new TypeInitializationException("Sodium", Fault("missing")),
    };

    private sealed class Started : IHostedService
    {
        public bool IsStarted { get; private set; }

        public Task StartAsync(CancellationToken cancellationToken)
        {
            IsStarted = true;
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
