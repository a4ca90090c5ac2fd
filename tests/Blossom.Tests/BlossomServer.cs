using System.Net.Http.Headers;
using System.Security.Cryptography;
using Marmot.Hosting;
using Marmot.Protocol.Auth;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Keys;
using Marmot.TestKit;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Marmot.Blossom.Tests;

/// <summary>A whole blob server on a loopback port and a folder of its own.</summary>
internal sealed class BlossomServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly bool _ownsFolder;

    private BlossomServer(WebApplication app, WallClock clock, string folder, bool ownsFolder)
    {
        (_app, Clock, Folder, _ownsFolder) = (app, clock, folder, ownsFolder);
        Address = new Uri(app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First());
        Http = new HttpClient { BaseAddress = Address };
    }

    /// <summary>The date of the test and its clients; the server's steps around it in the run with a stepping clock.</summary>
    public WallClock Clock { get; }

    public string Folder { get; }

    public Uri Address { get; }

    public HttpClient Http { get; }

    public IServiceProvider Services => _app.Services;

    public static Task<BlossomServer> StartAsync(params string[] settings) => StartInAsync(null, null, settings);

    public static Task<BlossomServer> StartInAsync(string? folder, DateTimeOffset? now, params string[] settings) => StartAsync(folder, now, null, settings);

    /// <summary>With parts of a host's own.</summary>
    public static Task<BlossomServer> StartWithAsync(Action<IServiceCollection> configure, params string[] settings) =>
        StartAsync(null, null, configure, settings);

    private static async Task<BlossomServer> StartAsync(string? folder, DateTimeOffset? now, Action<IServiceCollection>? configure, string[] settings)
    {
        var data = folder ?? Directory.CreateTempSubdirectory("blossom-test-").FullName;
        var clock = new WallClock(now ?? DateTimeOffset.UtcNow);
        var builder = MarmotHost.CreateBuilder(
            [
                "--Public:Urls=http://127.0.0.1:0", "--Admin:Urls=", $"--Storage:DataDirectory={data}", "--Log:Level=Error",
                "--Blossom:MinFreeBytes=0", .. settings
            ]);
        configure?.Invoke(builder.Services);
        builder.AddBlossom();
        builder.Services.RemoveAll<TimeProvider>();
        builder.Services.AddSingleton(TestKit.Clock.Seen(clock));
        var app = builder.Build();
        app.MapBlossom();
        await app.StartAsync();
        return new BlossomServer(app, clock, data, folder is null);
    }

    /// <summary>For five minutes; where the server's clock steps by hours, for all the dates that it may read.</summary>
    public string Token(SecretKey key, BlossomVerb verb, params Bytes32[] hashes)
    {
        var off = TestKit.Clock.Steps ? SteppingClock.Farthest : TimeSpan.Zero;
        return BlossomAuth.CreateHeader(key, verb, hashes, null, Clock.GetUtcNow() - off, TimeSpan.FromMinutes(5) + (off * 2));
    }

    public async Task<HttpResponseMessage> UploadAsync(SecretKey key, byte[] blob, string? type = "application/octet-stream",
        params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(HttpMethod.Put, "/upload") { Content = new ByteArrayContent(blob) };
        request.Headers.TryAddWithoutValidation("Authorization", Token(key, BlossomVerb.Upload, HashOf(blob)));
        if (type is not null)
        {
            request.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        }

        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await Http.SendAsync(request);
    }

    public async Task<HttpResponseMessage> DeleteAsync(SecretKey key, Bytes32 hash)
    {
        using var request = new HttpRequestMessage(HttpMethod.Delete, $"/{hash}");
        request.Headers.TryAddWithoutValidation("Authorization", Token(key, BlossomVerb.Delete, hash));
        return await Http.SendAsync(request);
    }

    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, path);
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        return await Http.SendAsync(request);
    }

    /// <summary>Files below the blob folder, drafts and files on their way out included, and the cells in use of the file of small blobs.</summary>
    public IEnumerable<string> BlobFiles() => BlobFiles(Folder);

    public static IEnumerable<string> BlobFiles(string folder) => new[] { "objects", "incoming", "leaving" }
        .Select(name => Path.Combine(folder, "blossom", name)).Where(Directory.Exists)
        .SelectMany(path => Directory.EnumerateFiles(path, "*", SearchOption.AllDirectories))
        .Concat(Cells(Path.Combine(folder, "blossom", "small.cells")));

    private static IEnumerable<string> Cells(string path)
    {
        using var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.Read, FileShare.ReadWrite);
        var cell = new byte[4096];
        for (var at = 0; file.ReadAtLeast(cell, cell.Length, throwOnEndOfStream: false) == cell.Length; at++)
        {
            if (cell.AsSpan().ContainsAnyExcept((byte)0))
            {
                yield return $"{path}#{at}";
            }
        }
    }

    public static byte[] RandomBlob(int size) => RandomNumberGenerator.GetBytes(size);

    public static Bytes32 HashOf(byte[] blob) => new(SHA256.HashData(blob));

    public async ValueTask DisposeAsync()
    {
        Http.Dispose();
        await _app.StopAsync();
        await _app.DisposeAsync();
        if (_ownsFolder)
        {
            Directory.Delete(Folder, recursive: true);
        }
    }
}

internal static class ResponseExtensions
{
    public static string? Header(this HttpResponseMessage response, string name) =>
        response.Headers.TryGetValues(name, out var values) || response.Content.Headers.TryGetValues(name, out values) ? string.Join(",", values) : null;
}
