using System.Net;
using System.Net.Sockets;
using Marmot.Blossom;
using Marmot.Hosting.Cluster;
using Marmot.Hosting.Settings;
using Marmot.NotifyServer;
using Marmot.Relay;
using Microsoft.Extensions.Options;

namespace Marmot.AllInOne;

/// <summary>What is wrong with the settings of one process: each value, each unknown name, and what no single value can say.</summary>
internal static class SettingsCheck
{
    /// <summary>Sections of the suite, those of roles that do not run in this process too: one file may serve several processes.</summary>
    private static readonly string[] SectionNames =
    [
        PublicOptions.Section, AdminOptions.Section, StorageOptions.Section, LogOptions.Section, TelemetryOptions.Section, ClusterOptions.Section,
        RelayOptions.Section, BlossomOptions.Section, NotifyOptions.Section,
    ];

    /// <summary>Every mistake, one sentence each with the setting in front; empty when all is well. Starts and makes nothing.</summary>
    internal static IReadOnlyList<string> FindMistakes(WebApplication app)
    {
        var sections = app.Services.GetServices<SettingsSection>().ToList();
        var mistakes = new List<string>(SettingsSections.FindUnknownSections((IConfigurationRoot)app.Configuration, SectionNames, sections));
        mistakes.AddRange(SettingsSections.FindMistakes(app.Configuration, sections));
        try
        {
            app.Services.GetService<IStartupValidator>()?.Validate();
        }
        catch (OptionsValidationException exception)
        {
            mistakes.AddRange(exception.Failures);
        }
        catch (AggregateException exception)
        {
            mistakes.AddRange(exception.InnerExceptions.SelectMany(inner => inner is OptionsValidationException invalid ? invalid.Failures : [inner.Message]));
        }
        catch (InvalidOperationException) when (mistakes.Count > 0)
        {
            // A value that cannot be bound, e.g. text for a number: it is among the mistakes, in our words.
        }

        if (mistakes.Count == 0)
        {
            mistakes.AddRange(FindPortTwice(app));
            string folder = app.Services.GetRequiredService<IOptions<StorageOptions>>().Value.DataDirectory;
            if (FindFolderMistake(folder) is { } mistake)
            {
                mistakes.Add(mistake);
            }
        }

        return [.. mistakes.Distinct(StringComparer.Ordinal)];
    }

    /// <summary>Ports that cannot be had now: in use, forbidden to this user, or an address of another machine. Asked just before the start, so that nothing is
    /// begun in vain.</summary>
    internal static IEnumerable<string> FindPortsTaken(WebApplication app, bool opensPublicPort)
    {
        foreach (var (setting, address) in Addresses(app).Where(entry => opensPublicPort || entry.Setting != "Public:Urls"))
        {
            if (!address.IsUnixPipe && address.Port != 0 && TryBind(address) is { } error)
            {
                yield return StartErrors.Describe(error, setting, address);
            }
        }
    }

    /// <summary>What follows from other settings, a line each: name, value, and where it comes from.</summary>
    internal static IEnumerable<string> Derived(WebApplication app)
    {
        var listen = app.Services.GetRequiredService<IOptions<PublicOptions>>().Value;
        if (listen.Origin.Length == 0)
        {
            yield return $"Public:Origin is not set: users are told the address of Public:Urls ({listen.Urls}), and logins are taken for loopback names only. "
                + "Behind a name set it: --Public:Origin=wss://relay.example.org";
        }

        var storage = app.Services.GetRequiredService<IOptions<StorageOptions>>().Value;
        yield return $"data folder: {Path.GetFullPath(storage.DataDirectory)} (Storage:DataDirectory)";
        yield return storage.Postgres.Length > 0
            ? "events and blob metadata: PostgreSQL (Storage:Postgres)"
            : "events and blob metadata: in the data folder (Storage:Postgres is empty)";
        if (app.Services.GetService<IOptions<NotifyOptions>>()?.Value is { } notify)
        {
            yield return app.Configuration.GetSection("Notify:Relays").GetChildren().Any()
                ? $"push server listens on: {string.Join(", ", notify.Relays)} (Notify:Relays)"
                : $"push server listens on: {string.Join(", ", notify.Relays)} (Notify:Relays is empty: the own relay at Public:Urls)";
        }
    }

    private static IEnumerable<(string Setting, BindingAddress Address)> Addresses(WebApplication app)
    {
        foreach (string url in ListenUrlsAttribute.Split(app.Services.GetRequiredService<IOptions<PublicOptions>>().Value.Urls))
        {
            if (ListenUrlsAttribute.TryParse(url, out var address))
            {
                yield return ("Public:Urls", address);
            }
        }

        foreach (string url in ListenUrlsAttribute.Split(app.Services.GetRequiredService<IOptions<AdminOptions>>().Value.Urls))
        {
            if (ListenUrlsAttribute.TryParse(url, out var address))
            {
                yield return ("Admin:Urls", address);
            }
        }
    }

    private static IEnumerable<string> FindPortTwice(WebApplication app)
    {
        var addresses = Addresses(app).Where(entry => !entry.Address.IsUnixPipe && entry.Address.Port != 0).ToList();
        for (int i = 0; i < addresses.Count; i++)
        {
            for (int j = 0; j < i; j++)
            {
                if (addresses[i].Address.Port == addresses[j].Address.Port && Meet(addresses[i].Address.Host, addresses[j].Address.Host))
                {
                    yield return $"{addresses[i].Setting}: port {addresses[i].Address.Port} is already that of {addresses[j].Setting}; give each a port of "
                        + $"its own.";
                }
            }
        }
    }

    // Two hosts that mean one address: the same, or one of them stands for all.
    private static bool Meet(string left, string right) =>
        left.Equals(right, StringComparison.OrdinalIgnoreCase) || IsAny(left) || IsAny(right) || (IsLoopback(left) && IsLoopback(right));

    private static bool IsAny(string host) => host is "*" or "+" or "0.0.0.0" or "[::]";

    private static bool IsLoopback(string host) => host is "localhost" or "127.0.0.1" or "[::1]";

    private static string? FindFolderMistake(string folder)
    {
        string path = Path.GetFullPath(folder);
        if (File.Exists(path))
        {
            return $"Storage:DataDirectory: {path} is a file; name a folder.";
        }

        string? existing = path;
        while (existing is not null && !Directory.Exists(existing))
        {
            existing = Path.GetDirectoryName(existing);
            if (File.Exists(existing))
            {
                return $"Storage:DataDirectory: {path} cannot be made: {existing} is a file.";
            }
        }

        // The kernel's answer counts (read-only mounts, access lists), not the mode bits.
        string probe = Path.Combine(existing ?? "/", $".marmot-probe-{Environment.ProcessId}");
        try
        {
            using (new FileStream(probe, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1, FileOptions.DeleteOnClose))
            {
            }

            return null;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return existing == path
                ? $"Storage:DataDirectory: {path} cannot be written by this user ({Environment.UserName})."
                : $"Storage:DataDirectory: {path} cannot be made: {existing} cannot be written by this user ({Environment.UserName}).";
        }
    }

    private static SocketException? TryBind(BindingAddress address)
    {
        IPAddress ip = address.Host is "*" or "+" ? IPAddress.IPv6Any
            : address.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? IPAddress.Loopback
            : IPAddress.TryParse(address.Host.Trim('[', ']'), out var parsed) ? parsed : IPAddress.IPv6Any;
        try
        {
            using var socket = new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            if (ip.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            socket.Bind(new IPEndPoint(ip, address.Port));
            socket.Listen(1);
            return null;
        }
        catch (SocketException exception) when (exception.SocketErrorCode is SocketError.AddressFamilyNotSupported)
        {
            return null; // no IPv6 here: Kestrel falls back to IPv4 and says so itself
        }
        catch (SocketException exception)
        {
            return exception;
        }
    }
}
