using System.Collections;
using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Reflection;
using Marmot.Terminal;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Marmot.Hosting.Settings;

/// <summary>An options section this process knows; the list of them is what settings are checked against.</summary>
public sealed record SettingsSection(string Name, Type Type);

/// <summary>Binding and checking of the suite's settings.</summary>
public static class SettingsSections
{
    /// <summary>Binds <typeparamref name="T"/> to its section, checks its values at start and remembers it for <see cref="FindMistakes"/>.</summary>
    public static IServiceCollection AddSettings<T>(this IServiceCollection services, string section) where T : class
    {
        services.AddSingleton(new SettingsSection(section, typeof(T)));
        services.AddSingleton<IValidateOptions<T>>(provider => new SectionValidation<T>(provider.GetRequiredService<IConfiguration>(), section));
        services.AddOptions<T>().BindConfiguration(section).ValidateOnStart();
        return services;
    }

    /// <summary>Every key inside the known sections that no option answers to, with the nearest right name, and every value that cannot be read or is out of
    /// its range.</summary>
    /// <returns>One sentence a mistake, the key in front; empty when all is well.</returns>
    /// <remarks>Sections are looked at by <see cref="FindUnknownSections"/>.</remarks>
    public static IReadOnlyList<string> FindMistakes(IConfiguration configuration, IEnumerable<SettingsSection> sections)
    {
        var mistakes = new List<string>();
        foreach (var group in sections.GroupBy(section => section.Name, StringComparer.OrdinalIgnoreCase))
        {
            Walk(configuration.GetSection(group.Key), [.. group.Select(section => section.Type).Distinct()], mistakes);
        }

        return mistakes;
    }

    /// <summary>Every section or lone key that the suite does not know, in what was written for it: the settings file and the command line. The environment
    /// holds much that is not ours; of it only names of the form <c>Section__Key</c> count whose section is nearly one of ours.</summary>
    /// <param name="configuration">The settings with their sources.</param>
    /// <param name="names">The suite's sections, those of roles that do not run here too.</param>
    /// <param name="sections">The sections with their types, for the nearest name of a key without a section.</param>
    public static IReadOnlyList<string> FindUnknownSections(IConfigurationRoot configuration, IReadOnlyCollection<string> names,
        IEnumerable<SettingsSection> sections)
    {
        var keys = sections.SelectMany(section => section.Type.GetProperties().Select(property => section.Name + ":" + property.Name)).ToList();
        var mistakes = new List<string>();
        foreach (var provider in configuration.Providers)
        {
            bool isOurs = provider is Microsoft.Extensions.Configuration.Json.JsonConfigurationProvider
                or Microsoft.Extensions.Configuration.CommandLine.CommandLineConfigurationProvider;
            bool isEnvironment = provider is Microsoft.Extensions.Configuration.EnvironmentVariables.EnvironmentVariablesConfigurationProvider;
            if (!isOurs && !isEnvironment)
            {
                continue;
            }

            foreach (string key in provider.GetChildKeys([], null).Distinct(StringComparer.OrdinalIgnoreCase))
            {
                bool isSection = provider.GetChildKeys([], key).Any();
                // The host itself writes "urls" into every source (UseUrls).
                bool isHosts = key.Equals("config", StringComparison.OrdinalIgnoreCase) || key == "urls";
                if (isHosts || (names.Contains(key, StringComparer.OrdinalIgnoreCase) && (isSection || isEnvironment)))
                {
                    continue;
                }

                string nearest = Nearest(key, names);
                if (names.Contains(key, StringComparer.OrdinalIgnoreCase))
                {
                    mistakes.Add($"{key}: is a section; its settings are written {key}:Key");
                }
                else if (isSection && (isOurs || Spelling.Distance(key.ToUpperInvariant(), nearest.ToUpperInvariant()) <= (key.Length > 4 ? 2 : 1)))
                {
                    mistakes.Add($"{key}: no such section. Did you mean {nearest}?");
                }
                else if (isOurs && !isSection)
                {
                    string near = keys.MinBy(name =>
                        Spelling.Distance(key.ToUpperInvariant(), name[(name.IndexOf(':', StringComparison.Ordinal) + 1)..].ToUpperInvariant())) ?? nearest;
                    mistakes.Add($"{key}: no such setting; settings are written Section:Key. Did you mean {near}?");
                }
            }
        }

        return mistakes;
    }

    private static void Walk(IConfigurationSection section, IReadOnlyList<Type> types, List<string> mistakes, bool valuesOnly = false)
    {
        foreach (var child in section.GetChildren())
        {
            var matches = types
                .SelectMany(type => type.GetProperties(BindingFlags.Public | BindingFlags.Instance))
                .Where(property => property.Name.Equals(child.Key, StringComparison.OrdinalIgnoreCase))
                .ToList();
            if (matches.Count == 0)
            {
                if (valuesOnly)
                {
                    continue;
                }

                string nearest = Nearest(child.Key, types.SelectMany(type => type.GetProperties()).Select(property => property.Name));
                mistakes.Add($"{child.Path}: no such setting. Did you mean {section.Path}:{nearest}?");
                continue;
            }

            if (IsLeaf(matches[0].PropertyType))
            {
                Judge(child, matches[0], mistakes);
            }
            else
            {
                Descend(child, matches[0].PropertyType, mistakes, valuesOnly);
            }
        }
    }

    // An empty value stays at the default where the type is not text, as the framework's binder has it.
    private static void Judge(IConfigurationSection setting, PropertyInfo property, List<string> mistakes)
    {
        if (setting.Value is not { } text || (text.Length == 0 && property.PropertyType != typeof(string)))
        {
            return;
        }

        object? value;
        try
        {
            value = TypeDescriptor.GetConverter(property.PropertyType).ConvertFromInvariantString(text);
        }
        catch (Exception exception) when (exception is FormatException or ArgumentException or NotSupportedException)
        {
            mistakes.Add($"{setting.Path}: '{text}' is not {Expected(property.PropertyType)}.");
            return;
        }

        foreach (var rule in property.GetCustomAttributes<ValidationAttribute>(inherit: true))
        {
            if (!rule.IsValid(value))
            {
                mistakes.Add(rule switch
                {
                    PostgresConnectionAttribute => $"{setting.Path}: {PostgresConnectionAttribute.FindMistake(text)}",
                    RangeAttribute range => $"{setting.Path}: {text} must lie between {range.Minimum} and {range.Maximum}.",
                    RequiredAttribute => $"{setting.Path}: must not be empty.",
                    { ErrorMessage: { } reason } => $"{setting.Path}: '{text}' is not allowed: {reason}",
                    _ => $"{setting.Path}: '{text}' is not allowed: {rule.FormatErrorMessage(property.Name)}",
                });
            }
        }
    }

    private static string Expected(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type.IsEnum ? $"one of {string.Join(", ", Enum.GetNames(type))}"
            : type == typeof(bool) ? "true or false"
            : type == typeof(TimeSpan) ? "a time span (hours:minutes:seconds, days in front with a dot: 00:05:00, 30.00:00:00)"
            : type == typeof(Uri) ? "a URL"
            : type == typeof(double) || type == typeof(float) || type == typeof(decimal) ? "a number"
            : "a whole number of its size";
    }

    private static void Descend(IConfigurationSection section, Type type, List<string> mistakes, bool valuesOnly)
    {
        Type? element = ElementType(type);
        if (element is null)
        {
            Walk(section, [type], mistakes, valuesOnly);
            return;
        }

        if (!IsLeaf(element))
        {
            foreach (var item in section.GetChildren())
            {
                Walk(item, [element], mistakes, valuesOnly);
            }
        }
    }

    private static bool IsLeaf(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        return type.IsPrimitive || type.IsEnum || type == typeof(string) || type == typeof(Uri) || type == typeof(TimeSpan) || type == typeof(decimal);
    }

    private static Type? ElementType(Type type) =>
        type.IsArray ? type.GetElementType()
        : typeof(IEnumerable).IsAssignableFrom(type) && type.IsGenericType ? type.GetGenericArguments()[^1]
        : null;

    private static string Nearest(string key, IEnumerable<string> names) => Spelling.Nearest(key, names) ?? "(none)";

    // For hosts that do not ask FindMistakes themselves: the same sentences when the options are first read.
    private sealed class SectionValidation<T>(IConfiguration configuration, string section) : IValidateOptions<T> where T : class
    {
        public ValidateOptionsResult Validate(string? name, T options)
        {
            var mistakes = new List<string>();
            // Only values: a section may be shared by several options classes, and a key of another is no mistake here.
            Walk(configuration.GetSection(section), [typeof(T)], mistakes, valuesOnly: true);
            if (options is IValidatableObject whole)
            {
                // What one value cannot say: settings that belong together.
                mistakes.AddRange(whole.Validate(new ValidationContext(options)).Select(result => $"{section}:{result.ErrorMessage}"));
            }

            return mistakes.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(mistakes);
        }
    }
}
