using System.ComponentModel.DataAnnotations;
using Marmot.Protocol.Addresses;
using Microsoft.AspNetCore.Http;
using Npgsql;

namespace Marmot.Hosting.Settings;

/// <summary>Addresses to listen on: <c>http://ADDRESS:PORT</c>, several separated by ';'. ADDRESS may be <c>*</c>; <c>http://unix:/PATH</c> is a socket
/// file.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ListenUrlsAttribute : ValidationAttribute
{
    /// <summary>The rule with its sentence.</summary>
    public ListenUrlsAttribute() => ErrorMessage = "an address to listen on is http://ADDRESS:PORT with a port from 0 to 65535, several separated by ';'";

    /// <inheritdoc/>
    public override bool IsValid(object? value) => value is null or string && Split((string?)value ?? "").All(url => TryParse(url, out _));

    /// <summary>The addresses of a setting.</summary>
    public static string[] Split(string urls) => urls.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);

    /// <summary>Reads one address.</summary>
    public static bool TryParse(string url, out BindingAddress address)
    {
        address = null!;
        try
        {
            address = BindingAddress.Parse(url);
        }
        catch (FormatException)
        {
            return false;
        }

        // BindingAddress takes what is no port for a part of the host. TLS is ended by a proxy, so https has no certificate here.
        return address.Scheme.Equals("http", StringComparison.OrdinalIgnoreCase)
            && (address.IsUnixPipe || (address.Port is >= 0 and <= ushort.MaxValue && address.PathBase.Length == 0 && IsHost(address.Host)));
    }

    private static bool IsHost(string host) =>
        host is "*" or "+"
        || (host.StartsWith('[') ? host.EndsWith(']') : !host.Contains(':', StringComparison.Ordinal)) && Uri.CheckHostName(host) != UriHostNameType.Unknown;
}

/// <summary>The URL users see: scheme and host, a port if need be, nothing else. Empty is allowed.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class OriginAttribute : ValidationAttribute
{
    /// <summary>The rule with its sentence.</summary>
    public OriginAttribute() => ErrorMessage = "an origin is a scheme and a host, e.g. wss://example.org (ws, wss, http or https; no path)";

    /// <inheritdoc/>
    public override bool IsValid(object? value) =>
        value is null or "" || (value is string text && HostName.TryReadUrl(text, out var uri, out _)
            && uri.PathAndQuery == "/" && uri.Fragment.Length == 0 && uri.UserInfo.Length == 0);
}

/// <summary>An absolute http or https URL. Empty is allowed.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class HttpUrlAttribute : ValidationAttribute
{
    /// <summary>The rule with its sentence.</summary>
    public HttpUrlAttribute() => ErrorMessage = "a URL with scheme and host is expected, e.g. http://collector:4317";

    /// <inheritdoc/>
    public override bool IsValid(object? value) =>
        value is null or "" || (value is string text && HostName.TryReadUrl(text, out var uri, out _) && uri.Scheme is "http" or "https");
}

/// <summary>A connection string of PostgreSQL in Npgsql's words. Empty is allowed. The message never repeats the value: it may hold a password.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class PostgresConnectionAttribute : ValidationAttribute
{
    // How Npgsql begins when one word of the string is wrong; the word follows.
    private const string CouldNotSet = "Couldn't set ";

    /// <inheritdoc/>
    protected override ValidationResult? IsValid(object? value, ValidationContext validationContext) =>
        FindMistake(value as string) is { } mistake ? new ValidationResult(mistake) : ValidationResult.Success;

    /// <inheritdoc/>
    public override bool IsValid(object? value) => FindMistake(value as string) is null;

    /// <summary>What is wrong with it, in one sentence; null when nothing is.</summary>
    public static string? FindMistake(string? text)
    {
        if (string.IsNullOrEmpty(text))
        {
            return null;
        }

        try
        {
            var builder = new NpgsqlConnectionStringBuilder(text);
            return string.IsNullOrEmpty(builder.Host) ? "Host= is missing, e.g. Host=127.0.0.1;Database=marmot;Username=marmot" : null;
        }
        catch (Exception exception) when (exception is ArgumentException or FormatException or InvalidCastException or KeyNotFoundException)
        {
            string message = exception.Message.Split(" (Parameter", 2)[0];
            return !message.StartsWith(CouldNotSet, StringComparison.Ordinal) ? message
                : exception.InnerException is KeyNotFoundException ? $"'{message[CouldNotSet.Length..]}' is no word of a connection string"
                : $"the value of '{message[CouldNotSet.Length..]}' cannot be read";
        }
    }
}
