using System.CommandLine;
using Marmot.Blossom.Blobs;
using Marmot.Blossom.Index;
using Marmot.Blossom.Storage;
using Marmot.Hosting;
using Marmot.Hosting.Operating;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Options;

namespace Marmot.Blossom.Commands;

/// <summary>The operator's tools: <c>marmot-server blossom stats|list|delete|verify|import|export|gc|reports</c>. The server that runs on the data folder
/// carries them out; where none runs they
/// open the store themselves.</summary>
/// <remarks>Exit codes: 0 done, 1 the thing asked for failed, 2 wrong usage or settings. Data goes to standard output, words to standard error.</remarks>
public static class BlossomCommands
{
    /// <summary>Adds the tools below the command of the role.</summary>
    public static void AddTo(Command blossom)
    {
        blossom.Description += "; its commands work on its store, also while it runs";
        foreach (var command in BlossomCommandLine.CreateCommands(RunAsync))
        {
            blossom.Add(command);
        }
    }

    private static async Task<int> RunAsync(BlossomCommandLine line)
    {
        try
        {
            return await CarryOutAsync(line);
        }
        catch (OptionsValidationException error)
        {
            await Console.Error.WriteLineAsync(string.Join(Environment.NewLine, error.Failures));
            return 2;
        }
        catch (Exception error) when (error is IOException or InvalidOperationException or UnauthorizedAccessException)
        {
            await Console.Error.WriteLineAsync(error.Message); // also: the database is another one's
            return 1;
        }
    }

    private static async Task<int> CarryOutAsync(BlossomCommandLine line)
    {
        var builder = MarmotHost.CreateBuilder([.. line.Settings]);
        var storage = builder.Configuration.GetSection(StorageOptions.Section).Get<StorageOptions>() ?? new StorageOptions();
        var root = Path.GetFullPath(Path.Combine(storage.DataDirectory, BlossomFolders.Name));
        if (line.Word != "import" && storage.Postgres.Length == 0 && !Directory.Exists(root))
        {
            throw new DirectoryNotFoundException($"{root} does not exist: name the server's data folder with --Storage:DataDirectory=FOLDER");
        }

        var streams = new CommandStreams(Stream.Null, Console.OpenStandardOutput(), SayAsync, Progress);
        await using var output = streams.Output;
        using var running = storage.Postgres.Length > 0 ? null : await OperatorClient.TryConnectAsync(Path.Combine(root, BlossomFolders.SocketName));
        if (running is not null)
        {
            return await OperatorClient.RunAsync(running, line.Words, streams);
        }

        builder.AddBlossom();
        await using var app = builder.Build();
        var store = app.Services.GetRequiredService<IBlobStore>();
        await app.Services.GetRequiredService<IBlobIndex>().ProbeAsync(CancellationToken.None);
        await store.ProbeAsync(CancellationToken.None);
        if (store is DiskBlobStore)
        {
            // Its lock is ours, so no server is at work on this folder. A bucket may have one, whose uploads under way are not ours to clear.
            await store.RecoverAsync(CancellationToken.None);
            await app.Services.GetRequiredService<BlobService>().SortOutSuspectsAsync(CancellationToken.None);
        }

        return await app.Services.GetRequiredService<StoreCommands>().RunAsync(line, streams, CancellationToken.None);
    }

    private static void Progress(string text)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write($"\r{text}   ");
        }
    }

    private static async Task SayAsync(string text)
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write("\r\e[K"); // over what Progress wrote
        }

        await Console.Error.WriteLineAsync(text);
    }
}
